// What lies under a point of the screen, and what can be said about it.

const MISSES = 10;  // CSS pixels that a finger may be beside it

function pick(clientX, clientY) {  // the splat that is seen there, or nearest to there; null beside everything
  const { x, y, width } = canvas.getBoundingClientRect(), density = canvas.width / width;
  const at = [clientX - x, clientY - y].map(value => Math.floor(value * density));
  const found = cells().find(each => !each.film && at[0] >= each.from && at[0] < each.to
                                     && at[1] >= each.y && at[1] < each.y + each.height);
  if (!found || !layers) return null;
  const cell = { ...found, camera: currentCamera(found) }, half = Math.ceil(MISSES * density), side = 2 * half + 1;
  const [left, bottom] = [at[0] - half, canvas.height - 1 - at[1] - half];
  gl.bindFramebuffer(gl.FRAMEBUFFER, layers[1].frame);  // which `draw` fills anew
  gl.scissor(left, bottom, side, side);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  usePoints(cell, 1);
  useColours(NUMBERS);
  gl.scissor(left, bottom, side, side);
  if (pressed("static")) drawRange({ start: 0, count: cell.scene.stillCount }, 1);
  const block = blockOf(cell.scene, state.step);
  if (pressed("moving") && bufferOf(cell.scene, block)) {
    usePoints(cell, 1, block);
    useColours(NUMBERS);
    gl.scissor(left, bottom, side, side);
    shownParts(cell.scene, state.step).forEach(range => drawRange(range, 1));
  }
  const bytes = new Uint8Array(4 * side * side);
  gl.readPixels(left, bottom, side, side, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  redraw();
  let best = null, nearest = Infinity;
  for (let k = 0; k < side * side; k++) {
    const [dx, dy] = [k % side - half, Math.floor(k / side) - half], away = dx * dx + dy * dy;
    const column = at[0] + dx, number = bytes[4 * k] + 256 * bytes[4 * k + 1] + 65536 * bytes[4 * k + 2] - 1;
    if (number < 0 || away >= nearest || away > half * half || column < cell.from || column >= cell.to) continue;
    [best, nearest] = [number, away];
  }
  return best === null ? null : pointOf(cell.scene, best);
}

function pointOf(shown, number) {  // its place in the world; of which frame it is, and of which mover, if it moves
  const still = number < shown.stillCount, block = still ? 0 : blockOf(shown, state.step);
  if (block) number -= shown.stillCount;  // in its block, only the first of which has what stands still
  const row = new DataView(rowsOf(shown, block).buffer, number * POINT, POINT);
  const place = [0, 1, 2].map(k => shown.low[k] + shown.span[k] * row.getUint16(2 * k, true) / 65535);
  const within = ({ start, count }) => number >= start && number < start + count;
  if (still) return { place, frame: shown.still.find(within).index, mover: null };
  const { ranges } = shown.moments[momentOf(shown, state.step)];
  return { place, frame: shownStep(shown, state.step), mover: shown.movers[ranges.find(within).index] };
}

const pointing = () => pressed("measure") || pressed("correct");

function clicked(clientX, clientY) {
  $("offer").hidden = true;
  if (!pointing()) return;
  const point = pick(clientX, clientY);
  if (!point) say("There is nothing there; click on the scene.");
  else if (pressed("measure")) addEnd(point.place);
  else offer(point, clientX, clientY);
}

function clickMiddle() {  // by keyboard
  const { x, y, width, height } = canvas.getBoundingClientRect();
  clicked(x + width / 2, y + height / 2);
}

function offer({ place, frame, mover }, clientX, clientY) {  // to call what was clicked still, or moving
  const box = $("offer"), button = box.querySelector("button");
  const { x, y, width, height } = canvas.getBoundingClientRect();
  const [row, column] = pixelOf(scene, frame, place);
  box.querySelector("span").textContent = mover ? `${mover.name} moves.` : "This stands still.";
  button.textContent = mover ? "It stands still" : "It moves";
  button.onclick = () => {
    box.hidden = true;
    tellPage("call", { moving: !mover, frame, row, column });
    say("Passed on: the masks and the files follow.");
  };
  box.hidden = false;
  box.style.left = limit(clientX - x - box.offsetWidth / 2, 8, Math.max(8, width - box.offsetWidth - 8)) + "px";
  box.style.top = limit(clientY - y + 14, 8, Math.max(8, height - box.offsetHeight - 8)) + "px";
  button.focus({ preventScroll: true });
}

function wirePointing() {
  $("correct").hidden = !answered;
  $("measure").onclick = () => choose("measure", "Click on two places in the scene.");
  $("correct").onclick = () => choose("correct", "Click on what is marked wrongly.");
}

function choose(id, text) {  // one of the two ways to point at something
  for (const each of ["measure", "correct"]) press(each, each === id && !pressed(each));
  $("offer").hidden = true;
  $("ruler").hidden = !pressed("measure");
  if (pressed(id)) say(text);
}
