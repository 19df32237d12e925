// Server-sent events from a fetched body (HTML Standard, 9.2.6). EventSource cannot send a token.

export interface StreamEvent {
  /** The last id that the stream named. */
  id: string;
  event: string;
  data: string;
}

/** Splits text into lines that end with CR, LF or both. */
class Lines {
  #rest = "";
  #afterReturn = false;

  *feed(text: string): Generator<string> {
    for (const character of text) {
      const skip = this.#afterReturn && character === "\n";
      this.#afterReturn = character === "\r";
      if (skip) continue;
      if (character === "\r" || character === "\n") {
        yield this.#rest;
        this.#rest = "";
      } else {
        this.#rest += character;
      }
    }
  }
}

/** The events of a body, as they arrive. `beat` is called whenever anything does, comments included. */
export async function* eventsOf(
  body: ReadableStream<Uint8Array>,
  retry: (milliseconds: number) => void = () => {},
  beat: () => void = () => {},
): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder();
  const lines = new Lines();
  let [id, event, data] = ["", "", [] as string[]];
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      beat();
      for (const line of lines.feed(decoder.decode(value, { stream: true }))) {
        if (line === "") {
          if (data.length > 0) yield { id, event: event === "" ? "message" : event, data: data.join("\n") };
          [event, data] = ["", []];
          continue;
        }
        const colon = line.indexOf(":");
        const [name, rest] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
        const text = rest.startsWith(" ") ? rest.slice(1) : rest;
        if (name === "data") data.push(text);
        else if (name === "event") event = text;
        else if (name === "id" && !text.includes("\0")) id = text;
        else if (name === "retry" && /^\d+$/.test(text)) retry(Number(text));
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
