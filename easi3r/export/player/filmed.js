// The frames as they were filmed: in a corner of the stage, in step, and laid over what the camera sees.

const codes = JSON.parse($("pictures").textContent), films = new Map();  // those around this step
const AROUND = 50;  // before and after it; all of a short clip
let lastFilmed = null;

function filmedNow() {  // the picture of this step, of a very long clip the one before; the last one until it is there
  const now = Math.ceil((state.step + 1) * codes.length / (lastStep + 1)) - 1, count = codes.length;
  const away = k => Math.min((k - now + count) % count, (now - k + count) % count);
  for (const k of films.keys()) if (away(k) > AROUND) films.delete(k);
  for (let k = now; k <= now + AROUND; k++) [k % count, (2 * now - k + count) % count].forEach(addFilm);
  const picture = films.get(now);
  if (picture?.complete && picture.naturalWidth) lastFilmed = picture;
  return lastFilmed;
}

function addFilm(k) {
  if (films.has(k) || !codes[k]) return;
  const picture = new Image();
  picture.onload = () => redraw();
  picture.src = "data:image/jpeg;base64," + codes[k];
  films.set(k, picture);
}

function showFilmed() {
  const corner = $("film"), picture = filmedNow();
  corner.hidden = !pressed("filmed") || filmOver();
  if (corner.hidden || !picture || corner.shown === picture) return;
  const { firstElementChild: sheet } = corner, { naturalWidth: width, naturalHeight: height } = picture;
  if (sheet.width !== width || sheet.height !== height) Object.assign(sheet, { width, height });
  sheet.getContext("2d").drawImage(picture, 0, 0);
  corner.shown = picture;
}

function enlargeFilmed(large = $("film").getAttribute("aria-expanded") === "false") {
  $("film").setAttribute("aria-expanded", large);
  $("film").title = large ? "Make it small again" : "Make it larger";
}

function wireFilmed() {
  $("film").style.setProperty("--shape", scene.size[0] / scene.size[1]);
  $("film").onclick = () => enlargeFilmed();
  press("filmed", scenes.length < 2);
}

function prepareFilm() {
  film = program(FILM, FILM_PIXEL);
  film.texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, film.texture);
  for (const [name, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
                               [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) {
    gl.texParameteri(gl.TEXTURE_2D, name, value);
  }
}

function drawFilm(cell) {  // where `currentCamera` has the picture, nothing else
  const picture = filmedNow();
  if (!picture) return;
  enter(cell);
  gl.useProgram(film.id);
  gl.bindTexture(gl.TEXTURE_2D, film.texture);
  if (film.shown !== picture) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, picture);
  film.shown = picture;
  const [across, upright] = cell.scene.size, zoom = zoomToFit(cell);
  gl.uniform2f(film.extent, across * zoom / cell.width, upright * zoom / cell.height);
  gl.disable(gl.DEPTH_TEST);
  gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  gl.enable(gl.DEPTH_TEST);
}
