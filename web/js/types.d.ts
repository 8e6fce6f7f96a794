/** Types of the editor, and the little of ComfyUI's frontend that the adapter uses. */

export interface XY {
  x: number;
  y: number;
}

export type Size = [width: number, height: number];

/** In pixels of the image; see core/prompts/prompts.py. */
export interface Point extends XY {
  positive: boolean;
  object: number;
  /** Of the batch, null where it names none. */
  frame: number | null;
}

export interface Box {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
  positive: boolean;
  object: number;
  frame: number | null;
}

/** A rough mask on a coarse grid over the image; see core/prompts/painted.py. */
export interface Painted {
  size: [rows: number, columns: number];
  counts: number[];
  object: number;
  frame: number | null;
}

export interface Prompts {
  points: Point[];
  boxes: Box[];
  masks: Painted[];
  /** Of objects, by their numbers; others are called after their number. */
  names: Record<number, string>;
}

/** What can be drawn; by the names in core/providers/contract.py. */
export type Drawn = "points" | "negative_points" | "boxes" | "negative_boxes" | "masks";

/** What a model does not take of it. */
export interface Limits {
  /** The model's name in messages, "" for the one that is linked. */
  title: string;
  /** Each kind that it does not take, with what could be chosen in its place. */
  lacks: Partial<Record<Drawn, string[]>>;
  wordsOnly: boolean;
  /** Whether each object is a call to somebody who may charge for it. */
  isCallEach: boolean;
  /** Whether boxes are around examples of what to find, and not each of one object. */
  isExamples: boolean;
}

export interface Ref {
  kind: "point" | "box";
  index: number;
}

export interface Corner {
  x: "x1" | "x2";
  y: "y1" | "y2";
}

export interface Hit extends Ref {
  corner?: Corner;
}

/** What a prompt without a frame is on. */
export type Unframed = "every" | "first";

export interface View extends XY {
  zoom: number;
}

export interface Frame {
  view: View;
  image: Size;
  area: Size;
}

/** What is kept of an editor while its node is made anew by undo, or goes out of sight. */
export interface EditorState {
  view: View | null;
  object: number;
  positive: boolean;
  frame: number;
  isOnly: boolean;
  isFull: boolean;
  isPainting: boolean;
  /** Of the brush, as a share of the image's longer side. */
  diameter: number;
}

export interface EditorOptions {
  /** 0..1, of the mask over the image. */
  opacity: number;
  /** Diameter of a point in CSS pixels. */
  pointSize: number;
}

export type Texts = Record<string, string>;

/** How far a run is. title: of the node that says so, "" where none does. share: 0..1 of its work, null
 * where it is not known. */
export interface Progress {
  title: string;
  share: number | null;
}

export interface EditorEvents {
  /** The text changed for good: one call for each gesture. */
  commit(text: string): void;
  toggleText(): void;
  encode(): void;
  /** A wheel turn that is the graph's to use. */
  wheel(event: WheelEvent): void;
  state(state: EditorState): void;
}

/** An image to edit on. key: for the live preview, "" where there is none. */
export interface Source {
  url: string;
  /** The size of the image in the graph, null where it is that of the picture at `url`. */
  size: Size | null;
  key: string;
  /** The mask of the last run, as a URL, and the text it was made from. */
  mask: { url: string; text: string } | null;
  /** What the run said of itself, "" where this is of no run. */
  note: string;
  /** The model whose scores mean nothing and whose outlines are rough, "" where it is none. */
  rough: string;
  /** Whether this is the very image that the node gets. */
  isExact: boolean;
  /** Whether it is of a run with the model as it is now. */
  hasRun: boolean;
  /** Which frame of the batch this is. */
  frame: number;
  /** The batch, null where it is one image or not known. */
  clip: Clip | null;
}

export interface Clip {
  count: number;
  /** Those that can be shown, ascending, the first among them; a long clip has not all. */
  frames: ClipFrame[];
}

/** A frame of a clip. url, key and mask: as of a Source. */
export interface ClipFrame {
  index: number;
  url: string;
  key: string;
  mask: string;
}

export interface PreviewQuery {
  key: string;
  points: string;
  mask_choice: string;
  side: number;
}

/** What the route answered. */
export type PreviewAnswer =
  | { kind: "mask"; blob: Blob; found: number; tried: number; asked: number }
  | { kind: "refused"; message: string }
  | { kind: "missing" }
  | { kind: "absent" }
  | { kind: "failed" };

/** `ui.segment_anywhere` of a run; see nodes/editor_state.py. */
export interface RunState {
  key: string;
  size: Size;
  points: string;
  image: FileRef;
  mask: FileRef;
  negative_boxes: boolean;
  rough: string;
  /** How many images there were, and those of a batch that can be shown. */
  count: number;
  frames: { index: number; key: string; image: FileRef; mask: FileRef }[];
}

/** `segment_anywhere` of a provider's points in the node's definition; see nodes/remote_editor.py. */
export interface EditorFacts {
  by: string;
  variants: Record<string, VariantFacts>;
}

export interface VariantFacts {
  title: string;
  takes: Drawn[];
  text: boolean;
  joins_objects: boolean;
}

/** The choice of a node's presets: its input, their values by the names of inputs, and its value
 * where none is chosen; see nodes/preset_input.py. */
export interface PresetFacts {
  input: string;
  presets: Record<string, Record<string, unknown>>;
  none: string;
}

export interface FileRef {
  filename: string;
  subfolder: string;
  type: string;
}

/** The parts of ComfyUI's frontend that the adapter uses. */
export interface ComfyWidget {
  name: string;
  value: any;
  type?: string;
  hidden?: boolean;
  serialize?: boolean;
  options: Record<string, any>;
  callback?: (...values: any[]) => any;
  serializeValue?: () => unknown;
  element?: HTMLElement;
}

export interface ComfyNode {
  id: number | string;
  type: string;
  comfyClass?: string;
  graph: any;
  size: number[];
  flags?: { collapsed?: boolean };
  imgs?: HTMLImageElement[];
  inputs?: { name: string; link: number | null }[];
  properties?: Record<string, any>;
  widgets?: ComfyWidget[];
  mode?: number;
  isSubgraphNode?: () => boolean;
  setSize(size: number[]): void;
  computeSize(): number[];
  setDirtyCanvas(foreground: boolean, background?: boolean): void;
  addDOMWidget(name: string, type: string, element: HTMLElement, options: object): ComfyWidget;
  onConfigure?: (...values: any[]) => any;
  onExecuted?: (...values: any[]) => any;
  onConnectionsChange?: (...values: any[]) => any;
  onRemoved?: (...values: any[]) => any;
  [key: string]: any;
}
