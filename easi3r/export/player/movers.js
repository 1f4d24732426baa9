// What moves, one by one: switches, and the line through the places where each was.

const hidden = new Set();  // numbers of movers that are switched off; where several scenes are shown, none is

const shownParts = (scene, step) => scene.moments[momentOf(scene, step)].ranges
  .filter(({ index }) => !hidden.has(index));

function leftOut() {  // numbers, as the result counts movers, of all that is switched off; 0: of no mover
  const numbers = scene.movers.map(({ number }) => number), rest = numbers.indexOf(null);
  const off = number => hidden.has(numbers.includes(number) ? numbers.indexOf(number) : rest);
  return Array.from({ length: 256 }, (_, number) => number).filter(number => !pressed("moving") || off(number));
}

function trailSteps() {  // whose ghosts are shown
  const stride = Math.max(1, lastStep / 8);
  return Array.from({ length: Math.floor(lastStep / stride + 1e-6) + 1 }, (_, k) => Math.round(k * stride));
}

function trails(scene) {
  const segments = [];
  scene.movers.forEach(({ colour, centres }, k) => {
    if (hidden.has(k)) return;
    let last = -1;
    centres.forEach((place, step) => {
      if (!place) return;
      const bright = step <= state.step ? 1 : 0.4;
      if (last >= 0 && step - last <= 4 * scene.every) {  // not over a longer time out of sight
        segments.push([centres[last], place, [...colour.map(value => value / 255), bright]]);
      }
      last = step;
    });
  });
  return segments;
}

function makeChips() {
  const row = $("movers");
  row.hidden = scenes.length > 1 || scene.movers.length < 2;
  if (row.hidden) return;
  scene.movers.forEach(({ name, colour }, k) => {
    const chip = document.createElement("button"), dot = document.createElement("i");
    chip.className = "chip";
    chip.setAttribute("aria-pressed", true);
    chip.title = "Show or hide it";
    dot.style.background = `rgb(${colour})`;
    chip.append(dot, name);
    chip.onclick = () => {
      const shown = hidden.delete(k) || !hidden.add(k);
      chip.setAttribute("aria-pressed", shown);
      if (shown && !pressed("moving")) press("moving", true);
      redraw();
    };
    row.append(chip);
  });
}
