"""The hook specs are documented, typed, have an example, and each registration hook has a kind."""

import inspect
import re
from pathlib import Path

import pytest

from grail_framework.plugins.loading import REGISTRATION_HOOKS
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.plugins.reference import hook_functions, render
from grail_framework.registry import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "hooks.md"
SPECS = hook_functions()


def documented():
    """Hook name -> argument names, read from the page alone."""
    found = re.findall(r"^## (\w+)\n\n```python\ndef (\w+)\((.*?)\) -> ", PAGE.read_text(), re.MULTILINE)
    assert all(heading == name for heading, name, _ in found)
    return {name: re.findall(r"(\w+): ", arguments) for name, _, arguments in found}


def test_page_lists_every_hook_with_equal_arguments():
    assert documented() == {name: list(inspect.signature(spec).parameters) for name, spec in SPECS.items()}


def test_page_is_up_to_date():
    assert PAGE.read_text() == render(), "run `python -m grail_framework.plugins.reference > docs/plugins/hooks.md`"


@pytest.mark.parametrize("name", SPECS)
def test_hook_is_typed_and_has_an_example(name):
    spec = SPECS[name]
    signature = inspect.signature(spec)
    assert all(parameter.annotation is not parameter.empty for parameter in signature.parameters.values())
    assert signature.return_annotation is not signature.empty
    example = inspect.getdoc(spec).partition("Example:\n")[2]
    compile("def example():\n" + example, name, "exec")


def test_manager_knows_the_same_hooks():
    assert GrailPluginManager(autoload=False, environ={}).hook_names() == sorted(SPECS)


def test_registration_hooks_cover_all_kinds():
    assert sorted(REGISTRATION_HOOKS.values()) == sorted(KINDS)
    assert set(REGISTRATION_HOOKS) == {name for name in SPECS if name.startswith("grail_register_")}


def test_facade_has_a_method_for_every_other_hook():
    for name in SPECS.keys() - REGISTRATION_HOOKS.keys():
        method = getattr(GrailPluginManager, name.removeprefix("grail_"))
        assert list(inspect.signature(method).parameters)[1:] == list(inspect.signature(SPECS[name]).parameters)
