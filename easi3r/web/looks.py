"""How the page looks, and what is added to gradio's widgets in the browser."""

import json
from pathlib import Path

import gradio as gr

from . import texts

_FOLDER = Path(__file__).parent
CSS = (_FOLDER / "page.css").read_text(encoding="utf-8")
SCRIPT = (_FOLDER / "page.js").read_text(encoding="utf-8").replace("@CAPTIONS@", json.dumps(texts.EXAMPLES))
# gradio's own colours with a contrast of 4.5 or more, as WCAG 2.2 wants for text
THEME = gr.themes.Default().set(
    body_text_color_subdued="*neutral_500",
    link_text_color_dark="*secondary_400",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_800",
    button_cancel_background_fill="#b91c1c",
    button_cancel_background_fill_hover="#991b1b",
)
