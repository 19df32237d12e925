// Words for what the API names.

import type { Texts } from "../language.ts";
import { type Status, waitsForUpload } from "../wire.ts";

export function stateText(texts: Texts, status: Pick<Status, "state" | "uploaded_at">): string {
  const key = `state_${waitsForUpload(status) ? "UPLOAD" : status.state}`;
  return texts.has(key) ? texts.t(key) : status.state;
}

export function stageText(texts: Texts, stage: string): string {
  const key = `stage_${stage}`;
  return texts.has(key) ? texts.t(key) : stage;
}
