"""When calls of another size are captured: capturing one costs several eager calls, and some sizes come once only.

The first `FREE` sizes of a form of arguments are captured when they come. A later one waits until the calls of that
size have taken as long as capturing one has on average. Whatever sizes come, the time that is spent on capturing stays
within that of the calls themselves, but for the first few.
"""

from time import perf_counter

from .forms import form

FREE = 8


class Sizes:
    """What one compiled function knows of it: `spent`, seconds for each form's captures; `waited`, of eager calls."""

    def __init__(self):
        self.spent, self.waited = {}, {}

    def captured(self, key, seconds):
        """A size was captured."""
        self.spent.setdefault(form(key), []).append(seconds)
        self.waited.pop(key, None)

    def waits(self, key):
        """Whether a call of that size is to run eagerly, by `run`."""
        spent = self.spent.get(form(key), ())
        return len(spent) >= FREE and self.waited.get(key, 0.0) < sum(spent) / len(spent)

    def run(self, key, function, args, kwargs):
        """The call, and how long it takes."""
        begin = perf_counter()
        result = function(*args, **kwargs)
        if len(self.waited) > 4096:         # (sizes that never come again)
            self.waited.clear()
        self.waited[key] = self.waited.get(key, 0.0) + perf_counter() - begin
        return result
