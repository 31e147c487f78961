// Each kind of panel, drawn by the component of @grafana/ui that Grafana draws it with.
//
// Stat, bar gauge, table and time series are Grafana's from edge to edge. Heatmap and status history
// live in Grafana's own repository and in no package: see cells.tsx for what stands in.

import {
  cacheFieldDisplayNames,
  type DataFrame,
  type FieldDisplay,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  type ReduceDataOptions,
  VizOrientation,
} from "@grafana/data";
import { defaultOptions as barDefaults } from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import { BarGauge, BigValue, TimeSeries, VizRepeater } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import type { ComponentProps, JSX } from "react";
import type { Look, Panel } from "./board";
import { Heatmap, History } from "./cells";
import { asIs, styled, THEME, TIME_ZONE, timeRangeOf } from "./grafana";

export interface Drawn {
  panel: Panel;
  frames: DataFrame[];
  look: Look;
  width: number;
  height: number;
}

const KINDS: Record<string, (drawn: Drawn) => JSX.Element> = {
  stat: Stat,
  bargauge: Bars,
  table: Table,
  timeseries: Lines,
  heatmap: Heatmap,
  "status-history": History,
};

/** What `drawn.frames` look like; where there are none, what Grafana says then. */
export function Body(drawn: Drawn): JSX.Element {
  const frames = styled(drawn.panel, drawn.frames);
  const Kind = KINDS[drawn.panel.type];
  if (!Kind) throw new Error(`no component draws a ${drawn.panel.type}`);
  if (!frames.some((frame) => frame.length > 0)) return <Nothing {...drawn} />;
  cacheFieldDisplayNames(frames);
  return <Kind {...drawn} frames={frames} />;
}

function Nothing({ panel, width, height }: Drawn): JSX.Element {
  const said = panel.fieldConfig.defaults.noValue ?? "No data";
  return (
    <div data-nothing="" style={{ width, height, display: "grid", placeItems: "center" }}>
      {said}
    </div>
  );
}

function valuesOf({ panel, frames }: Drawn): FieldDisplay[] {
  return getFieldDisplayValues({
    data: frames,
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options["reduceOptions"] as ReduceDataOptions,
    replaceVariables: asIs,
    sparkline: panel.options["graphMode"] === "area",
    theme: THEME,
    timeZone: TIME_ZONE,
  });
}

function Stat(drawn: Drawn): JSX.Element {
  const options = drawn.panel.options as Pick<
    ComponentProps<typeof BigValue>,
    "colorMode" | "graphMode" | "textMode" | "justifyMode"
  >;
  return (
    <Repeated {...drawn} orientation={VizOrientation.Auto} autoGrid>
      {({ value, width, height, alignmentFactors, count }) => (
        <BigValue
          {...options}
          {...{ width, height, alignmentFactors, count }}
          theme={THEME}
          value={value.display}
          {...(value.sparkline && { sparkline: value.sparkline })}
        />
      )}
    </Repeated>
  );
}

function Bars(drawn: Drawn): JSX.Element {
  const { minVizHeight, minVizWidth, maxVizHeight, ...looks } = {
    ...barDefaults,
    ...drawn.panel.options,
  } as Required<typeof barDefaults>;
  return (
    <Repeated
      {...drawn}
      orientation={VizOrientation.Horizontal}
      itemSpacing={8}
      {...{ minVizHeight, minVizWidth, maxVizHeight }}
    >
      {({ value, width, height, orientation, alignmentFactors }) => (
        <BarGauge
          {...{ width, height, orientation, alignmentFactors }}
          theme={THEME}
          field={value.field}
          value={value.display}
          {...(value.view && {
            display: value.view.getFieldDisplayProcessor(value.colIndex ?? 0)!,
          })}
          displayMode={looks.displayMode}
          showUnfilled={looks.showUnfilled}
          valueDisplayMode={looks.valueMode}
          namePlacement={looks.namePlacement}
          itemSpacing={8}
        />
      )}
    </Repeated>
  );
}

type Repeater = VizRepeater<FieldDisplay, ReturnType<typeof getDisplayValueAlignmentFactors>>;
type RepeaterProps = Repeater["props"];

function Repeated({
  children,
  ...drawn
}: Drawn & { children: RepeaterProps["renderValue"] } & Partial<RepeaterProps>): JSX.Element {
  const { panel: _panel, frames, look: _look, ...size } = drawn;
  return (
    <VizRepeater
      {...size}
      orientation={drawn.orientation ?? VizOrientation.Auto}
      source={frames}
      renderCounter={0}
      getValues={() => valuesOf(drawn)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={children}
    />
  );
}

function Table({ panel, frames, width, height }: Drawn): JSX.Element {
  const { sortBy } = panel.options as Pick<Required<ComponentProps<typeof TableNG>>, "sortBy">;
  return (
    <TableNG
      {...{ width, height, sortBy }}
      data={frames[0]!}
      structureRev={1}
      enableVirtualization={false} // so that columns beyond a phone's edge are there to be asked for
    />
  );
}

function Lines({ panel, frames, look, width, height }: Drawn): JSX.Element {
  return (
    <div data-limits={JSON.stringify(limitsOf(panel))}>
      <TimeSeries
        frames={frames}
        structureRev={1}
        timeRange={timeRangeOf(look)}
        timeZone={TIME_ZONE}
        width={width}
        height={height}
        legend={panel.options["legend"] as ComponentProps<typeof TimeSeries>["legend"]}
        options={panel.options}
      />
    </div>
  );
}

/** The colours of the lines that Grafana draws where thresholds are: they are no data. */
function limitsOf(panel: Panel): string[] {
  const [, ...steps] = panel.fieldConfig.defaults.thresholds?.steps ?? []; // the first has no line
  return steps.map((step) => THEME.visualization.getColorByName(step.color));
}
