"""What was typed into a tab of the browser stays there when the page is loaded again.

Gradio itself loads the page again once a lost connection is back, such as that of a phone that was
locked, and tells no event of what is typed until then.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from pseudoword.ui.page.events import EACH, PRIVATE

KEEP = """(...values) => {
    const all = JSON.stringify(values);
    if (!window.pseudowordRestored?.[%(key)s]) return all;
    sessionStorage.setItem(%(key)s, all);
    const late = JSON.parse(sessionStorage.getItem("pseudoword-late") ?? "{}");
    for (const id of %(ids)s) delete late[id];
    sessionStorage.setItem("pseudoword-late", JSON.stringify(late));
    return all;
}"""
"""Runs in the browser: keeps all values. `late` is what page.js has seen typed since."""

RESTORE = """(...now) => {
    const kept = JSON.parse(sessionStorage.getItem(%(key)s) ?? "[]");
    const late = JSON.parse(sessionStorage.getItem("pseudoword-late") ?? "{}");
    const ids = %(ids)s, first = %(first)s;
    const text = (value) => JSON.stringify(value ?? "");
    (window.pseudowordRestored ??= {})[%(key)s] = true;
    const then = now.map((value, i) => {
        if (text(value) !== text(first[i])) return value;
        const typed = late[ids[i]];
        if (typed !== undefined) return typeof first[i] === "number" ? Number(typed) : typed;
        return kept.length === now.length ? kept[i] : value;
    });
    const same = { __type__: "update" };  // to set what is there would count as a change
    const changed = then.map((value, i) => text(value) === text(now[i]) ? same : value);
    return [...changed, JSON.stringify(then)];
}"""
"""Runs in the browser: gives back what was kept, where nothing was typed while the page loaded."""

KEEP_TAB = "() => window.pseudowordTab && sessionStorage.setItem('pseudoword-tab', '%s')"
RESTORE_TAB = """() => {
    const selected = sessionStorage.getItem("pseudoword-tab");
    window.pseudowordTab = true;
    return { __type__: "update", ...(selected && { selected }) };
}"""


class Typed:
    """What is typed into the controls of a tab, kept in the browser, and all of it in `values`.

    Gradio looks through the whole page for each control that an event takes, when it is sent and
    again whenever the progress of anything changes. So events take `values` and not the controls.
    """

    def __init__(self, key: str, controls: Sequence[Any]) -> None:
        """Of controls that have ids in the page; `key` names them all in the browser."""
        self._key, self._controls = f"pseudoword-{key}", list(controls)
        self._ids = [control.elem_id for control in controls]
        self._first = json.dumps([control.value for control in controls])
        self.values = gr.Textbox(visible=False)
        """holds them as JSON, once the page is opened; its event `change` comes after that, and
        after a change of any"""

    def connect(self, opened: Any) -> Any:
        """Keep them.

        Args:
            opened: the event of a page that is opened.

        Returns:
            The event after which they are back.
        """
        all_ = self._controls
        told = {"key": json.dumps(self._key), "ids": json.dumps(self._ids), "first": self._first}
        left = [one.blur for one in all_ if isinstance(one, gr.Textbox | gr.Number)]
        changed = [one.change for one in all_]
        gr.on([*left, *changed], None, all_, self.values, js=KEEP % told, **EACH, **PRIVATE)
        return opened(None, all_, [*all_, self.values], js=RESTORE % told, **PRIVATE)

    def after(self, event: Any) -> Any:
        """The event after `event`, once `values` has what the controls held then.

        For an event that changes controls itself, and for a button: what presses it for a person
        may leave the cursor in the control that is typed into.
        """
        js = "(...values) => JSON.stringify(values)"
        return event(None, self._controls, self.values, js=js, **EACH, **PRIVATE).then

    def read(self, values: str) -> dict[str, Any]:
        """What `values` holds: id of a control -> what is typed into it."""
        return dict(zip(self._ids, json.loads(values or self._first), strict=True))


def keep_tab(opened: Any, tabs: Any, each: Mapping[str, Any]) -> None:
    """Keep which tab is looked at.

    Args:
        opened: the event of a page that is opened.
        tabs: all of them.
        each: id -> tab.
    """
    for id_, tab in each.items():
        tab.select(None, None, None, js=KEEP_TAB % id_, **EACH, **PRIVATE)
    opened(None, None, tabs, js=RESTORE_TAB, **PRIVATE)
