// Heatmap and status history: rows of cells over time.
//
// Grafana keeps both in its own repository, not in the packages. What stands in here is Grafana's
// plot, axes, legend, names, thresholds, words and units, with cells that we lay into it after the
// panel's own options. So data, order and colours are seen as Grafana shows them; the exact spacing of
// its cells, its scale of colours and its tooltips are not.

import {
  type DataFrame,
  type DisplayValue,
  type Field,
  formattedValueToString,
  getFieldDisplayName,
  getValueFormat,
} from "@grafana/data";
import {
  AxisPlacement,
  LegendDisplayMode,
  ScaleDirection,
  ScaleDistribution,
  ScaleOrientation,
} from "@grafana/schema";
import {
  UPlotChart,
  UPlotConfigBuilder,
  VizLayout,
  VizLegend,
  type VizLegendItem,
} from "@grafana/ui";
import * as chromatic from "d3-scale-chromatic";
import type { JSX } from "react";
import type uPlot from "uplot";
import type { Panel } from "./board";
import { FieldType, THEME, TIME_ZONE } from "./grafana";
import type { Drawn } from "./panels";

interface Row {
  name: string;
  values: (number | null)[];
}

const LABEL_HEIGHT = 13;
const GAP_PIXELS = 1; // between cells that are wide enough for one

/** Rows go from the bottom up; a value without ink has no cell. */
interface Cells {
  rows: Row[];
  times: number[];
  ink: (value: number) => string | undefined;
  part: number; // of its place that a cell fills
  legend: VizLegendItem[];
}

export function History(drawn: Drawn): JSX.Element {
  const fields = drawn.frames.flatMap(numbers);
  const shown = (value: number): DisplayValue => fields[0]!.display!(value);
  const cells: Cells = {
    rows: rowsOf(drawn.frames).reverse(), // the first one is on top
    times: timesOf(drawn.frames),
    ink: (value) => shown(value).color,
    part: drawn.panel.options["rowHeight"] as number,
    legend: wordsOf(drawn.panel, shown),
  };
  return <Plot {...drawn} cells={cells} />;
}

/** The words that stand for values. */
function wordsOf(panel: Panel, shown: (value: number) => DisplayValue): VizLegendItem[] {
  const mappings = panel.fieldConfig.defaults.mappings ?? [];
  const words = mappings.flatMap((each) => (each.type === "value" ? Object.keys(each.options) : []));
  return words.map((word) => {
    const { text, color } = shown(Number(word));
    return { label: text, yAxis: 1, ...(color && { color }) };
  });
}

interface HeatmapOptions {
  color: { scheme: string; reverse: boolean };
  filterValues: { le: number };
  yAxis: { unit?: string };
}

export function Heatmap(drawn: Drawn): JSX.Element {
  const { color, filterValues, yAxis } = drawn.panel.options as unknown as HeatmapOptions;
  const rows = rowsOf(drawn.frames, yAxis.unit);
  const counts = rows.flatMap((row) => row.values).filter((value) => value !== null);
  const lit = counts.filter((count) => count > filterValues.le);
  const [least, most] = [Math.min(...lit), Math.max(...lit)];
  const scale = scaleOf(color);
  const shown = drawn.frames.flatMap(numbers)[0]!.display!;
  const cells: Cells = {
    rows,
    times: timesOf(drawn.frames),
    ink: (value) =>
      value > filterValues.le ? scale((value - least) / Math.max(most - least, 1)) : undefined,
    part: 0.95,
    legend: (most - least < 2 ? [0, 1] : [0, 0.5, 1]).map((part) => ({
      label: formattedValueToString(shown(least + part * (most - least))),
      color: scale(part),
      yAxis: 1,
    })),
  };
  return <Plot {...drawn} cells={cells} />;
}

/** Grafana turns a scheme round where it would be brightest at its low end, on a dark ground. */
function scaleOf({ scheme, reverse }: HeatmapOptions["color"]): (part: number) => string {
  const interpolate = chromatic[`interpolate${scheme}` as "interpolateOranges"];
  return (part) => interpolate(THEME.isDark !== reverse ? 1 - part : part);
}

function rowsOf(frames: DataFrame[], unit?: string): Row[] {
  return frames.flatMap((frame) =>
    numbers(frame).map((field) => {
      const name = getFieldDisplayName(field, frame, frames);
      const isBound = unit !== undefined && name !== "+Inf";
      return { name: isBound ? bound(Number(name), unit) : name, values: [...field.values] };
    }),
  );
}

function numbers(frame: DataFrame): Field[] {
  return frame.fields.filter((field) => field.type === FieldType.number);
}

function timesOf(frames: DataFrame[]): number[] {
  return [...frames[0]!.fields[0]!.values] as number[];
}

function bound(value: number, unit: string): string {
  return formattedValueToString(getValueFormat(unit)(value));
}

function Plot({ cells, look, width, height }: Drawn & { cells: Cells }): JSX.Element {
  const data = [cells.times, ...cells.rows.map((row) => row.values)] as uPlot.AlignedData;
  const legend = (
    <VizLayout.Legend placement="bottom">
      <VizLegend placement="bottom" items={cells.legend} displayMode={LegendDisplayMode.List} />
    </VizLayout.Legend>
  );
  return (
    <div data-limits="[]">
      <VizLayout width={width} height={height} legend={legend}>
        {(inner, room) => (
          <UPlotChart
            config={configOf(cells, look.from * 1000, look.to * 1000)}
            data={data}
            width={inner}
            height={room}
          />
        )}
      </VizLayout>
    </div>
  );
}

function configOf(cells: Cells, from: number, to: number): UPlotConfigBuilder {
  const config = new UPlotConfigBuilder(TIME_ZONE);
  const count = cells.rows.length;
  config.addScale({
    scaleKey: "x",
    isTime: true,
    orientation: ScaleOrientation.Horizontal,
    direction: ScaleDirection.Right,
    range: () => [from, to],
  });
  config.addScale({
    scaleKey: "y",
    distribution: ScaleDistribution.Linear,
    orientation: ScaleOrientation.Vertical,
    direction: ScaleDirection.Up,
    range: () => [0, count],
  });
  config.addAxis({
    scaleKey: "x",
    isTime: true,
    theme: THEME,
    timeZone: TIME_ZONE,
    placement: AxisPlacement.Bottom,
  });
  config.addAxis({
    scaleKey: "y",
    theme: THEME,
    placement: AxisPlacement.Left,
    grid: { show: false },
    ticks: { show: false },
    splits: (plot) => named(plot, count),
    values: (_, splits) => splits.map((at) => cells.rows[at - 0.5]!.name),
  });
  cells.rows.forEach(() => config.addSeries({ scaleKey: "y", theme: THEME, pathBuilder: () => null }));
  config.addHook("draw", (plot) => lay(plot, cells));
  return config;
}

/** The middles of the rows that get a name: every second one where there is no room, or fewer. */
function named(plot: uPlot, count: number): number[] {
  const each = Math.ceil((count * LABEL_HEIGHT) / plot.height);
  return Array.from({ length: Math.ceil(count / each) }, (_, at) => at * each + 0.5);
}

/** A cell ends at its moment: what it shows was asked of the time before. */
function lay(plot: uPlot, { rows, times, ...cells }: Cells): void {
  const step = times[1]! - times[0]!;
  const tall = plot.bbox.height / rows.length;
  rows.forEach((row, at) => {
    const top = plot.valToPos(at + 1, "y", true) + (tall * (1 - cells.part)) / 2;
    row.values.forEach((value, when) => {
      const ink = value === null ? undefined : cells.ink(value);
      const left = Math.max(plot.bbox.left, plot.valToPos(times[when]! - step, "x", true));
      const right = plot.valToPos(times[when]!, "x", true);
      if (ink === undefined || right <= left) return;
      plot.ctx.fillStyle = ink;
      const gap = right - left > 4 * GAP_PIXELS ? GAP_PIXELS : -GAP_PIXELS;
      plot.ctx.fillRect(left, top, right - left - gap, tall * cells.part);
    });
  });
}
