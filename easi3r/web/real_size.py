"""Below the 4D scene: a length that the visitor knows, after which everything is in metres."""

from collections.abc import Callable

import gradio as gr

from ..errors import InputError, shown
from ..reconstruction import Reconstruction
from ..scale import ALLOWED, Height, Scale, in_metres, is_length, of_places
from .compare_tab import QUIET

HOW = """A video alone does not tell metres from miles. One length that you know gives all others, in the player and in
every file.

*Any two points*: press **Measure** in the player, click on them, and type how far they are apart. Or:"""
# ResultTab.change: (edit, page) -> what changes
Change = Callable[[Callable[[Reconstruction], Reconstruction], str], dict]


class RealSize:
    """Functions return what changes: widget -> value."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def lay_out(self) -> None:
        """The widgets."""
        with gr.Accordion("Give it a real size", open=False, elem_id="real-size"):
            gr.Markdown(HOW)
            with gr.Row(equal_height=True):
                label = "Camera was this high above the ground (m)"
                self.height = gr.Number(1.6, label=label, elem_id="height", min_width=200)
                self.apply = gr.Button("Apply", elem_id="apply-size", min_width=90, scale=0)

    def wire(self, going: gr.Textbox) -> None:
        """Events; going: what a change changes."""
        gr.on([self.apply.click, self.height.submit], self._of_height, self.height, going, **QUIET)

    def from_player(self, message: dict, page: str) -> dict:
        """The player's {"from": [x, y, z], "to": [x, y, z], "metres": n}; `InputError` if it is none."""
        return self._use(of_places(message), page)

    def _of_height(self, metres: float | None, request: gr.Request) -> dict:
        try:
            return self._use(_height(metres), str(request.session_hash))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def _use(self, scale: Scale, page: str) -> dict:
        return self._change(lambda result: in_metres(result, scale), page)


def _height(metres):
    if metres is None or not is_length(metres):
        given = "empty" if metres is None else shown(metres)
        raise InputError(f"The height is {given}; give how high the camera was in {ALLOWED}, such as 1.6.")
    return Height(float(metres))
