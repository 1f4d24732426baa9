// Which scene is drawn where: one alone, several side by side, or two on each other with a line to drag between. The
// clip as it was filmed can be one of the two.
// A cell: its scene, its place on the canvas in pixels from the top left, and the columns of it that are seen.

const FILM_CHOICE = "film";  // value of the menus; the others are numbers of scenes
const wiping = () => pressed("wipe");
const filmOver = () => wiping() && [$("left").value, $("right").value].includes(FILM_CHOICE);

function cells() {
  const { width, height } = canvas;
  if (!wiping()) return grid(width, height);
  const meeting = Math.round(state.wipe * width);
  return [["left", "right", 0, meeting], ["right", "left", meeting, width]].map(([id, other, from, to]) => {
    const film = $(id).value === FILM_CHOICE;
    return { scene: scenes[$(film ? other : id).value], film, x: 0, y: 0, width, height, from, to };
  });
}

function grid(width, height) {  // as many columns as let pictures be largest; a last row that is not full is centred
  const [across, upright] = scene.size, count = scenes.length;
  const scale = columns => Math.min(width / columns / across, height / Math.ceil(count / columns) / upright);
  const columns = [1, 2, 3, 4].slice(0, count).reduce((best, each) => scale(each) > 1.05 * scale(best) ? each : best);
  const [w, h] = [Math.floor(width / columns), Math.floor(height / Math.ceil(count / columns))];
  return scenes.map((each, k) => {
    const row = Math.floor(k / columns), inRow = Math.min(columns, count - row * columns);
    const x = Math.floor((width - inRow * w) / 2) + (k % columns) * w;
    return { scene: each, x, y: row * h, width: w, height: h, from: x, to: x + w };
  });
}

function enter(cell) {  // draw there from now on
  const bottom = canvas.height - cell.y - cell.height;
  gl.viewport(cell.x, bottom, cell.width, cell.height);
  gl.scissor(cell.from, bottom, Math.max(cell.to - cell.from, 0), cell.height);
}

const frames = [];  // what lies over the canvas, a frame per cell: its name, the picture's outline, the ruler's ends

function makeFrames() {
  const made = (kind, className) => Object.assign(document.createElement(kind), { className });
  for (let k = 0; k < Math.max(scenes.length, 2); k++) {  // a wipe has two, also of one scene
    const frame = made("div", "cell"), name = made("span", "name"), picture = k ? made("div", "picture") : $("picture");
    const marks = [made("i", "end"), made("i", "end"), made("b", "length")];
    name.textContent = scenes[k]?.name;
    frame.append(picture, name, ...marks);
    $("cells").append(frame);
    frames.push({ frame, name, picture, marks });
  }
}

function placeFrames(drawn, density) {
  const px = value => value / density + "px", wipes = wiping();
  frames.forEach(({ frame, name, picture, marks }, k) => {
    const cell = drawn[k], { style } = frame;
    frame.hidden = !cell;
    if (!cell) return;
    Object.assign(style, { left: px(cell.x), top: px(cell.y), width: px(cell.width), height: px(cell.height) });
    style.clipPath = wipes ? `inset(0 ${px(cell.width - cell.to)} 0 ${px(cell.from)})` : "";
    style.outlineWidth = scenes.length > 1 && !wipes ? "1px" : 0;
    name.hidden = wipes || scenes.length < 2;
    outlinePicture(picture, cell, density);
    placeRuler(marks, cell, density);
  });
  for (const id of ["left", "right", "handle"]) $(id).hidden = !wipes;
  $("handle").style.left = 100 * state.wipe + "%";
  $("handle").setAttribute("aria-valuenow", Math.round(100 * state.wipe));
}

function outlinePicture(picture, cell, density) {
  const [width, height] = outlined(cell.scene).map(side => side * zoomToFit(cell) / density);
  picture.hidden = !pressed("through") && !flight.open;
  Object.assign(picture.style, { width: width + "px", height: height + "px",
    left: (cell.width / density - width) / 2 + "px", top: (cell.height / density - height) / 2 + "px" });
}

function moveWipe(share) {
  state.wipe = limit(share, 0, 1);
  moved();
}

let wasFree = false;  // whether the view was free before the wipe

function toggleWipe() {
  const on = !wiping();
  if (on) wasFree = !pressed("through");
  press("wipe", on);
  if (!on && wasFree && scenes.length < 2) press("through", false);
}

const lineTo = event => {
  const { x, width } = canvas.getBoundingClientRect();
  moveWipe((event.clientX - x) / width);
};

function wireWipe() {  // the line between two, and which two they are
  const handle = $("handle"), [left, right] = [$("left"), $("right")];
  const alike = scenes.every(({ size }) => String(size) === String(scene.size));  // else the film fits not all of them
  for (const select of [left, right]) {
    select.replaceChildren(...scenes.map((each, k) => new Option(each.name || "Reconstructed", k)));
    if (alike) select.add(new Option("As filmed", FILM_CHOICE), scenes.length < 2 ? 0 : undefined);
  }
  left.value = scenes.length < 2 ? FILM_CHOICE : 0;
  right.value = scenes.length < 2 ? 0 : 1;
  let before = [left.value, right.value];
  for (const [select, other, k] of [[left, right, 1], [right, left, 0]]) {
    select.onchange = () => {  // both cannot be the same: the other takes what this one was
      if (select.value === other.value) other.value = before[1 - k];
      before = [left.value, right.value];
      press("wipe", true);
    };
  }
  handle.onpointerdown = event => {
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    handle.focus();
  };
  handle.onpointermove = event => {
    if (handle.hasPointerCapture(event.pointerId)) lineTo(event);
  };
  handle.onkeydown = event => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();  // these keys step through time elsewhere
    moveWipe(state.wipe + step);
  };
}
