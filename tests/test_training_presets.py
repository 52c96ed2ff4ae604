"""Published settings against the table of RLMRec's configuration files, typed here once more."""

import pytest

from errors import UsageError
from tests.toy_graphs import toy
from training.alignments import ALIGNMENTS
from training.backbones import BACKBONES
from training.presets import DATASETS, preset
from training.recommender import declared
from training.trainer import Plan

# amazon / yelp / steam; one value where all three are the same. L2 is reg_weight. Of the base SGL
# the file says 2 layers on Steam, but the code reads another key and runs 3.
BASE = """
backbone  layers     L2                  weight             temperature      other
gccf      2          1e-06               -                  -                loops=True
lightgcn  3/3/2      1e-06               -                  -                keep=0.8
sgl       3          1e-05/1e-06/1e-05   0.1/0.001/0.1      0.2/0.1/0.5      keep=0.8
simgcl    3          1e-05               0.1                0.2/0.2/0.5      noise=0.9/0.9/0.2
dccf      2/2/3      0.0001/0.0001/0.001 0.001              0.1              intents=128
autocf    2/3/2      1e-06/1e-07/1e-06   5/2/0.5            -                share=0.2
"""
CON = """
backbone  layers     L2                  weight             temperature      other
gccf      2          1e-06               -                  -                loops=False
lightgcn  3          1e-07/1e-07/1e-08   -                  -                keep=0.8
sgl       3          1e-05               0.1                0.2/0.2/0.5      keep=0.8
simgcl    3          1e-05               0.1                0.2/0.2/0.5      noise=0.9/0.9/0.2
dccf      2/2/3      0.0001/0.0001/0.001 0.001              0.1              intents=128
autocf    2          1e-06/1e-08/1e-06   1/1/0.5            -                share=0.2
"""
GEN = """
backbone  layers     L2                  weight             temperature      other
gccf      2          1e-07/1e-06/1e-06   -                  -                loops=False
lightgcn  2          1e-07/1e-07/1e-06   -                  -                keep=0.8
sgl       3          1e-05               0.1                0.2/0.2/0.5      keep=0.8
simgcl    3          1e-05               0.1                0.2/0.2/0.5      noise=0.9/0.9/0.2
dccf      2/2/3      0.0001/0.0001/0.001 0.001              0.1              intents=128
autocf    2          1e-06/1e-08/1e-06   1/1/0.5            -                share=0.2
"""
KD = """
backbone  weight            temperature
gccf      0.001/0.001/0.01  0.1/0.2/0.5
lightgcn  0.01/0.01/0.001   0.2/0.2/0.1
sgl       0.01              0.5/1/1
simgcl    0.01              0.2/0.1/0.2
dccf      0.01              0.5/0.2/0.5
autocf    0.1/0.01/0.01     0.5/0.1/0.2
"""
REC = """
backbone  share             weight           temperature
gccf      0.1/0.05/0.1      0.01             0.1/1/0.1
lightgcn  0.15/0.05/0.15    0.1/0.01/0.1     0.5/0.1/0.5
sgl       0.2/0.15/0.1      0.1              0.2
simgcl    0.05/0.01/0.05    0.1/0.01/0.01    0.2/0.05/0.1
dccf      0.05/0.05/0.1     0.1/0.01/0.01    0.2/0.1/0.2
autocf    0.2               1/0.1/1          0.5/0.1/0.2
"""
BACKBONE = {"none": BASE, "contrastive": CON, "generative": GEN}
ALIGN = {"contrastive": KD, "generative": REC}
EVERY = [(data, body, align) for data in DATASETS for body in BACKBONES for align in BACKBONE]


def row(table, body, data):
    """One backbone's settings for a data set. `name=value` cells bring their own name."""
    head, *rows = [line.split() for line in table.strip().splitlines()]
    (cells,) = [cells for cells in rows if cells[0] == body]
    found = {}
    for name, cell in zip(head[1:], cells[1:], strict=True):
        name, _, values = cell.partition("=") if "=" in cell else (name, "", cell)
        parts = values.split("/")
        value = parts[DATASETS.index(data) if len(parts) == 3 else 0]
        if value != "-":
            found[name] = value == "True" if name == "loops" else float(value)
    return found


def settings(found, body, align):
    """What a preset leads to, defaults included, as the tables call it."""
    options = declared(body, BACKBONES[body].Options, found.backbone)
    aligned = declared(align, ALIGNMENTS[align].Options, found.align)
    return {**vars(options), "L2": found.decay}, vars(aligned)


@pytest.mark.parametrize(("data", "body", "align"), EVERY)
def test_paper_has_the_settings_of_the_reference_code(data, body, align):
    options, aligned = settings(preset("paper", data, body, align), body, align)
    for name, value in row(BACKBONE[align], body, data).items():
        assert options[name] == value, name
    if align in ALIGN:
        assert aligned == row(ALIGN[align], body, data)


@pytest.mark.parametrize(("data", "body", "align"), EVERY)
def test_matched_gives_every_variant_the_base_models_backbone(data, body, align):
    options, aligned = settings(preset("matched", data, body, align), body, align)
    for name, value in row(BASE, body, data).items():
        assert options[name] == value, name
    if align in ALIGN:
        assert aligned == row(ALIGN[align], body, data)


@pytest.mark.parametrize("which", ["paper", "matched"])
@pytest.mark.parametrize("body", BACKBONES)
def test_fusion_which_nobody_published_on_these_data_gets_the_base_models_settings(which, body):
    options, _ = settings(preset(which, "yelp", body, "fusion"), body, "fusion")
    for name, value in row(BASE, body, "yelp").items():
        assert options[name] == value, name


def test_what_every_file_has_in_common_is_the_default():
    for body in BACKBONES.values():
        assert body.Options().dim == 32
    plan = Plan()
    assert (plan.learning_rate, plan.batch, plan.epochs) == (1e-3, 4096, 3000)
    assert (plan.every, plan.patience) == (3, 5)
    autocf = BACKBONES["autocf"].Options()
    assert (autocf.attention_layers, autocf.heads, autocf.seeds) == (1, 4, 100)
    assert (autocf.depth, autocf.refresh) == (2, 10)


@pytest.mark.parametrize(("data", "body", "align"), EVERY)
def test_every_preset_can_be_built(data, body, align):
    found, graph = preset("paper", data, body, align), toy()
    backbone = BACKBONES[body](graph, declared(body, BACKBONES[body].Options, found.backbone))
    declared(align, ALIGNMENTS[align].Options, found.align)
    assert backbone.layers >= 2


@pytest.mark.parametrize(
    ("name", "data", "whose"),
    [
        ("matched", "rlmrec_amazon_book", "amazon"),
        ("paper", "My-Yelp", "yelp"),
        ("paper:steam", "rlmrec_amazon_book", "steam"),
        ("matched:yelp", "mine", "yelp"),
        ("matched", "mine", "amazon"),
    ],
)
def test_data_are_known_by_name_unless_it_is_said_whose_settings_to_take(name, data, whose):
    found = preset(name, data, "sgl", "contrastive")
    assert found == preset(f"{name.partition(':')[0]}:{whose}", "mine", "sgl", "contrastive")


def test_a_paper_has_no_settings_for_unknown_data():
    with pytest.raises(UsageError, match="No paper has settings for 'mine'") as error:
        preset("paper", "mine", "sgl", "none")
    assert "paper:amazon" in error.value.hint


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("papers", "yelp", "sgl", "none"), "matched, paper"),
        (("paper:yelpp", "yelp", "sgl", "none"), "amazon, yelp, steam"),
        (("paper", "yelp", "sglx", "none"), "lightgcn, gccf"),
        (("paper", "yelp", "sgl", "con"), "none, contrastive"),
    ],
)
def test_a_name_that_is_not_known_is_answered_with_those_that_are(given, told):
    with pytest.raises(UsageError) as error:
        preset(*given)
    assert told in error.value.hint
