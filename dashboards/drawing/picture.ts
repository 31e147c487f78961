// A screenshot made small enough to be kept: 256 colours are plenty for what is drawn here.
//
// The colours that come most often are kept as they are, and every other becomes the nearest of them.

const COLOURS = 256;
const BITS = 5; // of each channel, by which colours are counted as one

/** The PNG `told`, in base64, with a palette. */
export async function smaller(told: string): Promise<string> {
  const { data, width, height } = await pixelsOf(told);
  const keys = Uint16Array.from({ length: width * height }, (_, at) => keyOf(data, at * 4));
  const palette = paletteOf(data, keys);
  const nearest = new Map<number, number>();
  const lines = new Uint8Array((width + 1) * height); // each begins with a 0: unfiltered
  keys.forEach((key, at) => {
    if (!nearest.has(key)) nearest.set(key, nearestOf(palette, data, at * 4));
    lines[at + Math.floor(at / width) + 1] = nearest.get(key)!;
  });
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, 3], 8); // 8 bits, by palette
  return encoded([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", header),
    chunk("PLTE", Uint8Array.from(palette.flat())),
    chunk("IDAT", await deflated(lines)),
    chunk("IEND", new Uint8Array()),
  ]);
}

async function pixelsOf(told: string): Promise<ImageData> {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${told}`)).blob());
  const brush = new OffscreenCanvas(image.width, image.height).getContext("2d")!;
  brush.drawImage(image, 0, 0);
  return brush.getImageData(0, 0, image.width, image.height);
}

type Colour = [number, number, number];

function keyOf(data: Uint8ClampedArray, at: number): number {
  const [red, green, blue] = [data[at]!, data[at + 1]!, data[at + 2]!];
  const cut = 8 - BITS;
  return ((red >> cut) << (2 * BITS)) | ((green >> cut) << BITS) | (blue >> cut);
}

/** Of the colours that count as one, the first that was met stands for all. */
function paletteOf(data: Uint8ClampedArray, keys: Uint16Array): Colour[] {
  const often = new Map<number, { count: number; colour: Colour }>();
  keys.forEach((key, at) => {
    const seen = often.get(key);
    if (seen) seen.count += 1;
    else often.set(key, { count: 1, colour: colourAt(data, at * 4) });
  });
  const sorted = [...often.values()].sort((one, other) => other.count - one.count);
  return sorted.slice(0, COLOURS).map(({ colour }) => colour);
}

function colourAt(data: Uint8ClampedArray, at: number): Colour {
  return [data[at]!, data[at + 1]!, data[at + 2]!];
}

function nearestOf(palette: Colour[], data: Uint8ClampedArray, at: number): number {
  const wanted = colourAt(data, at);
  const far = (colour: Colour) =>
    colour.reduce((sum, value, channel) => sum + (value - wanted[channel]!) ** 2, 0);
  const distances = palette.map(far);
  return distances.indexOf(Math.min(...distances));
}

async function deflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(name: string, body: Uint8Array): Uint8Array {
  const whole = new Uint8Array(body.length + 12);
  const view = new DataView(whole.buffer);
  view.setUint32(0, body.length);
  whole.set(new TextEncoder().encode(name), 4);
  whole.set(body, 8);
  view.setUint32(body.length + 8, crc(whole.subarray(4, body.length + 8)));
  return whole;
}

function crc(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

function encoded(parts: Uint8Array[]): string {
  const bytes = parts.flatMap((part) => [...part]);
  return btoa(bytes.map((byte) => String.fromCharCode(byte)).join(""));
}
