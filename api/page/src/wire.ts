// What the API sends and takes: the part of docs/openapi.json that the page uses.

export type State = "PENDING" | "PROCESSING" | "COMPLETED" | "FAILED" | "CANCELLED" | "EXPIRED";

/** One presigned request. Its URL is a secret: anyone who has it can upload. */
export interface UploadRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  size_bytes: number;
  expires_at: string;
}

export interface PartRequest extends UploadRequest {
  part_number: number;
}

export interface SingleUpload extends UploadRequest {
  kind: "single";
}

export interface MultipartUpload {
  kind: "multipart";
  part_size_bytes: number;
  part_count: number;
  parts: PartRequest[];
  next_part_number: number | null;
}

export type Upload = SingleUpload | MultipartUpload;

/** At most 100 requests for parts, and every part that has arrived. */
export interface Parts {
  parts: PartRequest[];
  uploaded: { part_number: number; size_bytes: number }[];
  next_part_number: number | null;
}

export interface Order {
  job_id: string;
  file_name: string;
  size_bytes: number;
  target_format: string;
  options?: Record<string, string>;
  preset?: string;
  root?: string;
  compress?: "never" | "auto" | "always";
  strict?: boolean;
  accept_encoding?: string[];
}

export interface Created {
  job_id: string;
  state: State;
  upload: Upload | null;
}

export interface Download {
  method: string;
  url: string;
  headers: Record<string, string>;
  expires_at: string;
  size_bytes: number;
  sha256: string | null;
  file_name: string;
}

export interface JobFailure {
  code: string;
  message: string;
  stage: string | null;
  fault: string;
  retryable: boolean;
  hint: string;
}

export interface Status {
  job_id: string;
  state: State;
  stage: string | null;
  progress: number;
  attempt: number;
  file_name: string;
  target_format: string;
  size_bytes: number;
  created_at: string;
  uploaded_at: string | null;
  claimed_at: string | null;
  ended_at: string | null;
  stage_millis: Record<string, number | null>;
  warnings: string[];
  warnings_total: number;
  losses: number;
  failure: JobFailure | null;
  poll_after_ms: number | null;
  result_expires_at: string | null;
  download?: Download | null;
}

export interface JobPage {
  jobs: Status[];
  unreadable: number;
  next_page: string | null;
}

/** An option that an engine declares. No engine has to. */
export interface EngineOption {
  name: string;
  values?: string;
  preset?: string | null;
  help?: string;
}

export interface Engine {
  engine: string;
  inputs: string[];
  outputs: { id: string; extension: string }[];
  options?: EngineOption[];
}

export interface Audit {
  job_id: string;
  attempts_made: number;
  attempts: {
    attempt: number;
    part: number;
    head: { last_seq: number; last_hash: string; ledger: string };
    signature: string | null;
  }[];
  deletions: {
    objects: number;
    uploads: number;
    confirmed_at: string;
    by: string;
    ledger: string | null;
  }[];
}

/** Whether nothing of the job changes any more but its files' deletion. */
export function hasEnded(state: State): boolean {
  return state !== "PENDING" && state !== "PROCESSING";
}

/** Whether the job still waits for its file. */
export function waitsForUpload(status: Pick<Status, "state" | "uploaded_at">): boolean {
  return status.state === "PENDING" && status.uploaded_at === null;
}
