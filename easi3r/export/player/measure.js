// The distance between two places, and what it really is.

let ends = [];  // two places at most
let metres = null;  // one unit of the scene, as said in this window

const unit = () => metres ? "m" : scene.scale?.unit || "units";
const distance = () => Math.hypot(...add(ends[1], ends[0], -1)) * (metres || 1);
const lengthText = () => `${Number(distance().toPrecision(3))} ${unit()}`;

function addEnd(place) {
  ends = ends.length < 2 ? [...ends, place] : [place];
  showLength();
  say(ends.length < 2 ? "Now click on the second place." : "");
  redraw();
}

function showLength() {
  const whole = ends.length > 1;
  $("length").textContent = whole ? lengthText() : "–";
  $("metres").disabled = $("resize").disabled = !whole;
  $("wrong").textContent = "";
}

function rulerLine() {
  return pressed("measure") && ends.length > 1 ? [[...ends, [1, 0.92, 0.3, 1]]] : [];
}

function placeRuler([first, second, label], cell, density) {
  const places = ends.map(place => onScreen(cell, place, density)), [a, b] = places;
  const put = (mark, at) => {
    mark.hidden = !at || cell.film || !pressed("measure");
    if (at) Object.assign(mark.style, { left: at[0] + "px", top: at[1] + "px" });
  };
  put(first, a);
  put(second, b);
  put(label, a && b && [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
  if (ends.length > 1) label.textContent = lengthText();
}

function giveLength(event) {
  event.preventDefault();
  const [, number] = $("metres").value.trim().replace(",", ".").match(/^([\d.]+)(?: *m)?$/i) ?? [];  // many write 1,8
  const given = Number(number);
  const possible = given >= 1e-6 && given <= 1e6;  // as scale.py has it
  const wrong = !possible ? "Give a length above zero in metres (up to 1000000), such as 1.8."
    : !distance() ? "Both ends are the same place; click on two." : "";
  $("wrong").textContent = wrong;
  $("metres").setAttribute("aria-invalid", Boolean(wrong));
  if (wrong) return $("metres").focus();
  if (answered) {
    tellPage("scale", { from: ends[0], to: ends[1], metres: given });
    say("Passed on: every file will be in metres.");
  } else {
    metres = given / (distance() / (metres || 1));
    showLength();
    describeScale();
    redraw();
  }
}

function wireRuler() {
  $("ruler").onsubmit = giveLength;
  $("resize").title = answered ? "Put the scene and every file into metres" : "Read metres, in this window";
  showLength();
}
