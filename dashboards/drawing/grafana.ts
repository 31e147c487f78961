// Grafana's packages expect to be set up by Grafana: here it is done, as far as panels need it.

import {
  applyFieldOverrides,
  createTheme,
  type DataFrame,
  dateTime,
  FieldConfigOptionsRegistry,
  type FieldConfigPropertyItem,
  type GrafanaTheme2,
  standardTransformers,
  standardTransformersRegistry,
  type TimeRange,
} from "@grafana/data";
import type { Look, Panel } from "./board";

export { DataFrameType, FieldType, toDataFrame, transformDataFrame } from "@grafana/data";
export type { DataFrame, Field } from "@grafana/data";
export { lastValueFrom } from "rxjs";

export const THEME: GrafanaTheme2 = createTheme({ colors: { mode: "dark" } });
export const TIME_ZONE = "utc";

const { mergeTransformer, filterFieldsByNameTransformer, organizeFieldsTransformer } =
  standardTransformers;

standardTransformersRegistry.setInit(() =>
  [mergeTransformer, filterFieldsByNameTransformer, organizeFieldsTransformer].map((each) => ({
    id: each.id,
    name: each.name,
    transformation: async () => each,
    editor: () => null,
    imageDark: "",
    imageLight: "",
  })),
);

export const asIs = (text: string): string => text;

export function timeRangeOf(look: Look): TimeRange {
  const [from, to] = [dateTime(look.from * 1000), dateTime(look.to * 1000)];
  return { from, to, raw: { from, to } };
}

/** The frames with units, thresholds, words and colours of the panel's own configuration. */
export function styled(panel: Panel, frames: DataFrame[]): DataFrame[] {
  return applyFieldOverrides({
    data: frames,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: registryFor(panel),
    replaceVariables: asIs,
    theme: THEME,
    timeZone: TIME_ZONE,
  });
}

/** Grafana lists what each panel may be told; here that is whatever this one is told. */
function registryFor({ fieldConfig: { defaults, overrides } }: Panel): FieldConfigOptionsRegistry {
  const { custom, ...standard } = defaults;
  const told = [
    ...Object.keys(standard),
    ...Object.keys(custom ?? {}).map((path) => CUSTOM + path),
    ...overrides.flatMap(({ properties }) => properties.map(({ id }) => id)),
  ];
  return new FieldConfigOptionsRegistry(() => [...new Set(told)].map(property));
}

const CUSTOM = "custom.";

function property(id: string): FieldConfigPropertyItem {
  const isCustom = id.startsWith(CUSTOM);
  const path = isCustom ? id.slice(CUSTOM.length) : id;
  return {
    id,
    path,
    name: path,
    isCustom,
    shouldApply: () => true,
    process: (value: unknown) => value,
    override: () => null,
    editor: () => null,
  };
}
