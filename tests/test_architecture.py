"""The house rules, read from the files: who imports whom, what stays unloaded, how long a file is.

A new room or a new file at the top has to be entered here before anything may import it.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What each room and each file at the top may import of ours, itself left out.
ALLOWED = {
    "errors": set(),
    "settings": {"errors", "stores"},
    "graph_ops": {"errors"},
    "prompts": {"errors"},
    "stores": {"errors"},
    "training": {"errors"},
    "agents": {"errors", "graph_ops", "prompts", "stores"},
    "viewer": {"errors", "graph_ops", "prompts", "stores"},
    "verbs": {
        *("errors", "settings", "agents", "graph_ops", "prompts", "stores", "training", "viewer"),
    },
    "cli": {"errors", "verbs", "settings", "stores"},
}
# Not part of the product: they may import whatever they show, measure or test.
ASIDE = {"tests", "examples", "benchmarks"}
# What must not be loaded by importing every module of a room.
HEAVY = {
    "graph_ops": {"torch", "langgraph", "chromadb"},
    "prompts": {"torch", "langgraph", "chromadb"},
    "stores": {"torch", "langgraph", "chromadb"},
    "agents": {"torch", "chromadb"},
    "training": {"langgraph", "langchain_core", "chromadb"},
    "viewer": {"torch", "langgraph", "langchain_core", "chromadb"},
}
MAY_PRINT = {"cli.py", "flags.py", "session.py", "terminal.py"}
MOST_LINES = 350


def python_files(folder=ROOT):
    """Our files below a folder; hidden folders and what an installation leaves are not ours."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if not any(part.startswith(".") or part in {"build", "venv"} for part in parts):
            yield path


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


PRODUCT = [path for path in python_files() if room_of(path) not in ASIDE]
ROOMS = sorted({room_of(path) for path in PRODUCT})
OURS = [path for path in python_files() if room_of(path) != "tests"]


def short(path):
    return str(path.relative_to(ROOT))


def tree_of(path):
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(tree):
    """The modules that a file imports, at the top or inside of a function; `.` for a relative."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else str(node.module)


def ours_in(tree):
    known = {*ALLOWED, *ROOMS, *ASIDE}
    return {name.partition(".")[0] for name in imports(tree)} & known


def calls(tree, name):
    found = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(isinstance(func, ast.Name) and func.id == name for func in found)


def broad(tree):
    """Whether a file catches everything: `except:`, `except Exception`, alone or in a tuple."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {None if one is None else ast.unparse(one) for one in caught}
            if names & {None, "Exception", "BaseException"}:
                return True
    return False


# Imports


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_a_row_in_the_table(room):
    assert room in ALLOWED, f"{room} is new: say in ALLOWED what it may import."


@pytest.mark.parametrize("path", PRODUCT, ids=short)
def test_a_file_imports_only_what_the_table_allows(path):
    room = room_of(path)
    assert ours_in(tree_of(path)) <= ALLOWED.get(room, set()) | {room}


@pytest.mark.parametrize("path", OURS, ids=short)
def test_no_import_is_relative(path):
    assert "." not in imports(tree_of(path))


def test_agents_and_training_never_meet():
    assert "training" not in ALLOWED["agents"]
    assert "agents" not in ALLOWED["training"]


@pytest.mark.parametrize("path", PRODUCT, ids=short)
def test_only_the_engines_know_ray(path):
    knows = "ray" in {name.partition(".")[0] for name in imports(tree_of(path))}
    assert not knows or short(path).startswith("agents/engines/")


@pytest.mark.parametrize("name", ["cli.py", "verbs/data.py", "verbs/train.py", "verbs/export.py"])
def test_the_command_line_loads_its_verbs_only_when_they_are_called(name):
    top = ast.Module([n for n in tree_of(ROOT / name).body if not hasattr(n, "body")], [])
    assert ours_in(top) <= {"errors", "verbs"}


@pytest.mark.parametrize("path", [p for p in PRODUCT if room_of(p) == "verbs"], ids=short)
def test_a_verb_belongs_to_the_agents_or_to_the_trainer(path):
    assert not {"agents", "training"} <= ours_in(tree_of(path))


# What is loaded


def loaded_by(code):
    """The packages that a fresh interpreter has loaded after running `code` here."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("room", HEAVY)
def test_importing_a_room_does_not_load_the_other_half(room):
    modules = [short(path).removesuffix(".py").replace("/", ".") for path in PRODUCT]
    ours = [name for name in modules if name.partition(".")[0] == room]
    assert ours
    assert not loaded_by("\n".join(f"import {name}" for name in ours)) & HEAVY[room]


def test_help_loads_nothing_heavy():
    ask = "import runpy, sys; sys.argv = ['cli.py', '--help']\n"
    ask += "try: runpy.run_path('cli.py', run_name='__main__')\nexcept SystemExit: pass"
    loaded = loaded_by(ask)
    assert "typer" in loaded
    heavy = {"torch", "langgraph", "langchain_core", "chromadb", "openai", "networkx", "ray"}
    assert not loaded & heavy
    assert not loaded & {"agents", "stores", "training", "viewer", "graph_ops", "prompts"}


# Style


@pytest.mark.parametrize("path", OURS, ids=short)
def test_no_file_is_too_long(path):
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", OURS, ids=short)
def test_no_file_catches_everything(path):
    assert not broad(tree_of(path))


@pytest.mark.parametrize("path", [p for p in PRODUCT if p.name not in MAY_PRINT], ids=short)
def test_only_the_command_line_prints(path):
    assert not calls(tree_of(path), "print")


@pytest.mark.parametrize("path", PRODUCT, ids=short)
def test_every_module_says_what_it_is_for(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree) or not tree.body


# The rules themselves can fail


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import torch, agents.run as a", {"agents"}),
        ("def f():\n    from stores.ledger import Ledger", {"stores"}),
        ("import agents_of_change, storesx", set()),
    ],
)
def test_our_imports_are_found_wherever_they_stand(code, expected):
    assert ours_in(ast.parse(code)) == expected


@pytest.mark.parametrize(
    ("clause", "found"),
    [
        ("except:", True),
        ("except Exception:", True),
        ("except (KeyError, BaseException) as e:", True),
        ("except KeyError:", False),
        ("except (KeyError, OSError):", False),
    ],
)
def test_broad_clauses_are_found(clause, found):
    assert broad(ast.parse(f"try:\n    f()\n{clause}\n    pass")) == found
