// Prometheus' answers as Grafana's data source hands them to panels: frames.
//
// A series is a frame, named by its legend. What is asked for as a table is one frame a query, a
// column for each label. What is asked for as a heatmap comes as buckets that hold each other, and
// leaves as rows that do not.

import {
  type DataFrame,
  DataFrameType,
  type Field,
  FieldType,
  lastValueFrom,
  transformDataFrame,
  toDataFrame,
} from "./grafana";
import type { Answer, Look, Panel, Sample, Series, Target } from "./board";

/** The frames that `panel` gets to draw; an error, as Prometheus has it, is thrown. */
export async function framesOf(panel: Panel, look: Look): Promise<DataFrame[]> {
  const frames = (look.answers[panel.id] ?? []).flatMap((answer) => read(panel, answer, look));
  return lastValueFrom(transformDataFrame(panel.transformations ?? [], frames));
}

function read(panel: Panel, answer: Answer, look: Look): DataFrame[] {
  const targets = panel.targets ?? [];
  const target = targets.find((one) => one.refId === answer.refId);
  if (answer.reply.status === "error") throw new Error(answer.reply.error);
  if (!target) throw new Error(`nobody asked for ${answer.refId}`);
  const series = answer.reply.data.result;
  if (series.length === 0) return [];
  if (target.format === "table") return [tableOf(target, series, targets.length)];
  const frames = series.map((one) => frameOf(target, one, answer.step, look));
  return target.format === "heatmap" ? [rowsOf(frames)] : frames;
}

/** Each moment between from and to has a value, or null: lines end where nothing was. */
function frameOf(target: Target, series: Series, step: number, look: Look): DataFrame {
  const samples = series.values ?? (series.value ? [series.value] : []);
  const known = new Map(samples.map(([at, value]) => [at, number(value)]));
  const times = series.values ? moments(look, step) : [...known.keys()];
  const name = named(target, series.metric);
  return toDataFrame({
    refId: target.refId,
    name,
    fields: [
      {
        name: "Time",
        type: FieldType.time,
        values: times.map((at) => at * 1000),
        config: { interval: step * 1000 },
      },
      {
        name: "Value",
        type: FieldType.number,
        values: times.map((at) => known.get(at) ?? null),
        labels: series.metric,
        config: { displayNameFromDS: name },
      },
    ],
  });
}

function moments(look: Look, step: number): number[] {
  const count = Math.floor((look.to - look.from) / step) + 1;
  return Array.from({ length: count }, (_, at) => look.from + at * step);
}

function number(told: string): number | null {
  const value = told === "+Inf" ? Infinity : told === "-Inf" ? -Infinity : Number(told);
  return Number.isNaN(value) ? null : value;
}

function named(target: Target, labels: Record<string, string>): string | undefined {
  if (target.legendFormat !== "__auto")
    return target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? "");
  return Object.keys(labels).length === 0 ? target.expr : undefined;
}

/** The value's column is called by its query, unless there is only one. */
function tableOf(target: Target, series: Series[], queries: number): DataFrame {
  const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  const samples = series.map((one): Sample => one.value ?? one.values?.at(-1) ?? [0, "NaN"]);
  const column = (name: string, type: FieldType, values: unknown[]) =>
    ({ name, type, values, config: {} }) as Field;
  return toDataFrame({
    refId: target.refId,
    fields: [
      column("Time", FieldType.time, samples.map(([at]) => at * 1000)),
      ...labels.map((label) =>
        column(label, FieldType.string, series.map((one) => one.metric[label] ?? "")),
      ),
      column(
        queries > 1 ? `Value #${target.refId}` : "Value",
        FieldType.number,
        samples.map(([, value]) => number(value)),
      ),
    ],
  });
}

/** Buckets from the smallest to the largest, each without what is in the one before it. */
function rowsOf(frames: DataFrame[]): DataFrame {
  const bound = (frame: DataFrame) => number(frame.fields[1]!.labels?.["le"] ?? "") ?? 0;
  const sorted = [...frames].sort((one, other) => bound(one) - bound(other));
  const rows = sorted.map(({ name, fields: [, own] }, at): Field => {
    const below = sorted[at - 1]?.fields[1]!.values ?? [];
    const values = own!.values.map((value, when) =>
      value === null ? null : Math.max(0, value - (below[when] ?? 0)),
    );
    return { ...own!, name: name ?? "", values };
  });
  const [first] = sorted;
  return {
    ...first!,
    meta: { type: DataFrameType.HeatmapRows },
    fields: [first!.fields[0]!, ...rows],
  };
}
