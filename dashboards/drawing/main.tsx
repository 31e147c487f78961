// A dashboard as it is committed, drawn by Grafana's own components from what Prometheus answered.
//
//     draw(board, look)   returns once everything stands still
//     faults()            what is wrong with it
//     smaller(png)        a screenshot of it, small enough to be kept
//
// Rows and panels lie as in Grafana: on a grid of 24 columns, below each other on a phone. Variables,
// links and annotations are not drawn.

import { type DataFrame, ThemeContext } from "@grafana/data";
import { ErrorBoundaryAlert, GlobalStyles, PanelChrome } from "@grafana/ui";
import type { JSX, ReactNode } from "react";
import { flushSync } from "react-dom";
import { createRoot, type Root } from "react-dom/client";
import { framesOf } from "./answers";
import type { Board, Look, Panel, Place } from "./board";
import { faults } from "./faults";
import { THEME } from "./grafana";
import { Body } from "./panels";
import { smaller } from "./picture";

const CELL = 30; // Grafana's grid: how high a row is, and what is between two
const GAP = 8;
const PHONE = 769; // narrower than that, panels lie below each other
const STILL_FRAMES = 15;

type Answered = Panel & { frames: DataFrame[]; error?: string };

let root: Root | undefined;

async function draw(board: Board, look: Look): Promise<void> {
  const panels = await Promise.all(board.panels.map((panel) => answered(panel, look)));
  await lettering;
  root?.unmount();
  root = createRoot(document.querySelector("main")!);
  flushSync(() => root!.render(<Page title={board.title} panels={panels} look={look} />));
  await stillness();
}

/** Grafana's style sheet and fonts, before any text is measured. */
async function lettered(): Promise<void> {
  const styles = createRoot(document.body.appendChild(document.createElement("div")));
  flushSync(() => styles.render(<Themed><GlobalStyles /></Themed>));
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
}

const lettering = lettered();

function Themed({ children }: { children: ReactNode }): JSX.Element {
  return <ThemeContext.Provider value={THEME}>{children}</ThemeContext.Provider>;
}

async function answered(panel: Panel, look: Look): Promise<Answered> {
  try {
    return { ...panel, frames: await framesOf(panel, look) };
  } catch (error) {
    return { ...panel, frames: [], error: String(error) };
  }
}

/** Nothing has changed on the page for a while. */
async function stillness(): Promise<void> {
  let still = 0;
  const watch = new MutationObserver(() => (still = 0));
  watch.observe(document.body, { subtree: true, childList: true, attributes: true });
  while (still++ < STILL_FRAMES) await new Promise(requestAnimationFrame);
  watch.disconnect();
}

function Page(page: { title: string; panels: Answered[]; look: Look }): JSX.Element {
  const inside = document.documentElement.clientWidth - 2 * GAP;
  const places = inside < PHONE ? below(page.panels) : page.panels.map((panel) => panel.gridPos);
  const bottom = Math.max(...places.map((place) => place.y + place.h));
  return (
    <Themed>
      <h3 style={{ margin: GAP }}>{page.title}</h3>
      <div style={{ position: "relative", margin: GAP, height: bottom * (CELL + GAP) }}>
        {page.panels.map((panel, at) => (
          <Placed key={panel.id} panel={panel} look={page.look} box={boxOf(places[at]!, inside)} />
        ))}
      </div>
    </Themed>
  );
}

/** Each panel as wide as there is room, in the order in which one reads. */
function below(panels: Panel[]): Place[] {
  let y = 0;
  return panels.map(({ gridPos: { h } }) => {
    const place = { x: 0, y, w: 24, h };
    y += h;
    return place;
  });
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

function boxOf({ x, y, w, h }: Place, inside: number): Box {
  const column = (inside + GAP) / 24;
  return {
    left: x * column,
    top: y * (CELL + GAP),
    width: w * column - GAP,
    height: h * (CELL + GAP) - GAP,
  };
}

function Placed({ panel, look, box }: { panel: Answered; look: Look; box: Box }): JSX.Element {
  if (panel.type === "row")
    return <h6 style={{ position: "absolute", ...box, lineHeight: `${CELL}px` }}>{panel.title}</h6>;
  const { title, description, frames, error } = panel;
  return (
    <div style={{ position: "absolute", ...box }} {...marks(panel)}>
      <PanelChrome
        {...{ title, width: box.width, height: box.height }}
        {...(description && { description })}
        {...(error && { statusMessage: error })}
      >
        {(width: number, height: number) => (
          <div data-body="">
            <ErrorBoundaryAlert>
              <Body {...{ panel, frames, look, width, height }} />
            </ErrorBoundaryAlert>
          </div>
        )}
      </PanelChrome>
    </div>
  );
}

/** What `faults` goes by. */
function marks({ title, error, transformations = [] }: Answered): Record<string, string> {
  const organized = transformations.find((each) => each.id === "organize");
  const columns: Record<string, string> = organized?.options.renameByName ?? {};
  return {
    "data-panel": title,
    ...(error && { "data-error": error }),
    ...(organized && { "data-columns": JSON.stringify(Object.values(columns)) }),
  };
}

Object.assign(window, { draw, faults, smaller });
