// What of a dashboard's JSON is looked at here, and what Prometheus answered to it.

import type { DataTransformerConfig, FieldConfigSource } from "@grafana/data";

export interface Place {
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Target {
  refId: string;
  format: "time_series" | "table" | "heatmap";
  legendFormat: string;
  expr: string;
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: Place;
  targets?: Target[];
  fieldConfig: FieldConfigSource;
  options: Record<string, unknown>;
  transformations?: DataTransformerConfig[];
}

export interface Board {
  title: string;
  panels: Panel[];
}

export type Sample = [number, string];

export interface Series {
  metric: Record<string, string>;
  values?: Sample[];
  value?: Sample;
}

/** What Prometheus said, word for word, to one query of a panel; `step` in seconds. */
export interface Answer {
  refId: string;
  step: number;
  reply: { status: "success"; data: { result: Series[] } } | { status: "error"; error: string };
}

/** What is looked at: from when to when, in seconds, and the answers by the id of their panel. */
export interface Look {
  from: number;
  to: number;
  answers: Record<number, Answer[]>;
}
