// What is wrong with what was drawn, read off the page: a sentence each, with the panel's title.

const ERRORS = '[data-testid="data-testid Panel status error"], [role="alert"]';
const GREY = 24; // of 255: channels so near each other
const NEAR = 40; // a limit is a little mixed with the grid that it crosses
const FAINT = 64; // less opaque is the shade below a line
const SPOTS_MIN = 8;

export function faults(): string[] {
  return [...document.querySelectorAll<HTMLElement>("[data-panel]")].flatMap((panel) => {
    const what = faultOf(panel);
    return what ? [`${panel.dataset["panel"]}: ${what}`] : [];
  });
}

function faultOf(panel: HTMLElement): string {
  const error = panel.querySelector(ERRORS);
  if (error) return `an error box: ${panel.dataset["error"] ?? error.textContent}`;
  if (panel.querySelector("[data-nothing]")) return "no data";
  if ([...panel.querySelectorAll<HTMLElement>("[data-limits]")].some(isBlank)) return "a blank canvas";
  const missing = columnsMissing(panel);
  if (missing.length > 0) return `no column ${missing.join(", ")}`;
  return panel.querySelector("[data-body]")?.textContent ? "" : "nothing at all";
}

/** Nothing is on it but axes, which are grey, and its limits. (Stats are judged by their text.) */
function isBlank(plot: HTMLElement): boolean {
  const canvas = plot.querySelector("canvas");
  if (!canvas) return true;
  const limits = (JSON.parse(plot.dataset["limits"]!) as string[]).map(rgb);
  const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
  let spots = 0;
  for (let at = 0; at < data.length; at += 4) {
    const pixel = [data[at]!, data[at + 1]!, data[at + 2]!];
    const isColour = Math.max(...pixel) - Math.min(...pixel) > GREY;
    if (data[at + 3]! > FAINT && isColour && !limits.some((limit) => isNear(limit, pixel))) spots += 1;
  }
  return spots < SPOTS_MIN;
}

function isNear(one: number[], other: number[]): boolean {
  return one.every((value, at) => Math.abs(value - other[at]!) <= NEAR);
}

function rgb(colour: string): number[] {
  const brush = document.createElement("canvas").getContext("2d")!;
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 1, 1);
  return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

function columnsMissing(panel: HTMLElement): string[] {
  const wanted = JSON.parse(panel.dataset["columns"] ?? "[]") as string[];
  const there = [...panel.querySelectorAll('[role="columnheader"]')].map((each) => each.textContent);
  return wanted.filter((column) => !there.includes(column));
}
