"""The backbones by name. A new one is a class with a `forward`, and a line here."""

from training.backbones.autocf import AutoCF
from training.backbones.base import Backbone
from training.backbones.dccf import DCCF
from training.backbones.lightgcn import GCCF, LightGCN
from training.backbones.views import SGL, SimGCL

BACKBONES: dict[str, type[Backbone]] = {
    "lightgcn": LightGCN,
    "gccf": GCCF,
    "sgl": SGL,
    "simgcl": SimGCL,
    "dccf": DCCF,
    "autocf": AutoCF,
}
