"""Where values go that code makes: into calls of some functions only, or who knows where."""

import sys

import pytest

from rushlight.capture.destinations import Asked


def tell(*values, end=""):
    """The end: values that go here are well kept."""


class Probe:
    """A value whose text asks where it goes."""

    def __init__(self):
        self.found = []

    def item(self):
        return self

    def _text(self):
        frame = sys._getframe(2)
        asked = Asked(frame.f_code, frame.f_globals, lambda f: f is tell, frame.f_locals)
        k = asked.instruction(frame.f_lasti)
        self.found.append(k is not None and asked.value((k, 0)))
        return "text"

    def __str__(self):
        return self._text()

    def __format__(self, spec):
        return self._text()


def handed_on(message, other=None):
    tell("said", message, other)


def kept(message):
    kept.last = message
    tell(message)


def twice_removed(a, b):
    line = f"{a}: {b}"
    handed_on(line, other)


other = None


class Speaker:
    def __init__(self):
        self.tell, self.unknown = tell, len

    def say(self, text):
        tell(text)

    def keep(self, text):
        self.text = text


SPEAKER = Speaker()


# Functions whose texts all go to `tell`.
def directly(x):
    tell(f"{x}")
    tell(f"a {x:.3f} b {x.item()} {len('abc')}", end="")
    tell(1, str(x), "{} and {:.2f}".format(1, x))     # noqa: UP032


def by_variables(x):
    text = f"{x}"
    more = f"<{text}> {x:>8}"
    tell(more, text)


def in_a_loop(x):
    for i in range(2):
        line = f"{i}: {x}"
        if i:
            tell(line)
        else:
            tell(line, i)


def by_functions(x):
    handed_on(f"{x}")
    twice_removed(f"{x}", f"{x}!")
    SPEAKER.say(f"{x}")
    SPEAKER.tell(f"{x}")


def within_blocks(x):
    try:
        with open("/dev/null") as f:
            tell(f"{x}", f.closed)
    finally:
        tell(f"{x}")


def built_up(x):
    text = ""
    for i in range(2):
        text = f"{text} {i}: {x}"
    tell(text)


def dropped(x):
    f"{x}"
    text = f"{x}"       # noqa: F841


def put_into_a_list(x):
    tell([f"{x}"])


def put_together(x):
    tell("loss " + f"{x}")


def grown(x):
    text = f"{x}"
    text += "!"
    tell(text)


def joined(x):
    parts = []
    parts.append(f"{x}")
    tell("".join(parts))


def in_containers(x):
    row = {"a": f"{x}", "b": [f"{x}", 1]}
    row["c"] = f"{x}"
    tell(row)


def by_names(x):
    handed_on(other=f"{x}", message=1)


def to_a_local_function(x):
    say = tell
    say(f"{x}")


# Functions of which no text is known to go there only.
def returned(x):
    text = f"{x}"
    tell(text)
    return text


def compared(x):
    tell(f"{x}" == "a")


def looked_up(x):
    tell({"text": 1}[f"{x}"])


def letter_by_letter(x):
    tell("-".join(f"{x}"))


def extended(x):
    row = []
    row += f"{x}"
    tell(row)


def looked_into(x):
    row = {"a": f"{x}"}
    tell(row["a"] == "a")


def as_a_key(x):
    tell({f"{x}": 1})


def added_to_what_looks(x):
    tell(f"{x}" + other)


def measured(x):
    tell(len(f"{x}"))


def chosen(x):
    tell(f"{x}" if other is None else "none")


def chosen_before(x):
    text = f"{x}" or "none"
    tell(text)


def formatted_again(x):
    text = f"{x}"
    tell(f"{text:>10}")


def in_a_cell(x):
    text = f"{x}"
    tell(text)
    return lambda: text


def revealed(x):
    text = f"{x}"
    tell(text)
    return locals()


def kept_by_a_function(x):
    kept(f"{x}")


def kept_by_an_object(x):
    SPEAKER.keep(f"{x}")


def to_an_unknown_function(x):
    SPEAKER.unknown(f"{x}")


def spread(x):
    tell(*[f"{x}"])


def as_an_attribute(x):
    SPEAKER.text = f"{x}"


def kept_by_the_way(x):
    tell(text := f"{x}")
    return text


def raised(x):
    try:
        raise ValueError(f"{x}")
    except ValueError:
        pass


GOOD = [directly, by_variables, in_a_loop, by_functions, within_blocks, dropped, built_up, put_into_a_list,
        put_together, grown, joined, in_containers, by_names, to_a_local_function]
BAD = [returned, compared, looked_up, letter_by_letter, extended, looked_into, as_a_key, added_to_what_looks, measured,
       formatted_again, in_a_cell,
       revealed, kept_by_a_function, kept_by_an_object, to_an_unknown_function, spread,
       as_an_attribute, kept_by_the_way, raised, chosen_before]


def asked(f):
    x = Probe()
    try:
        f(x)
    except (KeyError, TypeError):
        pass
    assert x.found
    return x.found


@pytest.mark.parametrize("f", GOOD)
def test_goes_there_only(f):
    assert all(asked(f)), asked(f)


@pytest.mark.parametrize("f", BAD)
def test_may_go_elsewhere(f):
    assert not any(asked(f)), asked(f)


def test_choices_need_not_be_understood():
    assert asked(chosen) in ([True], [False])
