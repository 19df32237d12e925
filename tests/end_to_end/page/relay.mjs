// A relay between the browser and the object store. It can hold the parts of an upload from a number
// on, cut every connection, and refuse new ones.

import { connect, createServer } from "node:net";

const PART = /^PUT \S*[?&]partNumber=(\d+)/;

export class Relay {
  /** Part numbers in the order in which their requests came. */
  parts = [];
  /** Numbers of the parts that the store has confirmed. */
  arrived = new Set();
  /** Requests for parts from this number on get no further. */
  holdFrom = Infinity;
  isCut = false;
  #sockets = new Set();
  #server;

  constructor(port, store) {
    this.#server = createServer((near) => {
      if (this.isCut) return near.destroy();
      const far = connect(store, "127.0.0.1");
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      let [isHeld, last] = [false, 0];
      far.on("data", (bytes) => {
        if (last > 0 && bytes.subarray(0, 12).toString("latin1") === "HTTP/1.1 200") this.arrived.add(last);
      });
      near.on("data", (bytes) => {
        const number = Number(PART.exec(bytes.subarray(0, 4096).toString("latin1"))?.[1] ?? 0);
        if (number > 0) this.parts.push((last = number));
        isHeld ||= number >= this.holdFrom;
        if (isHeld) {
          near.pause();
        } else if (!far.write(bytes)) {
          near.pause();
          far.once("drain", () => near.resume());
        }
      });
      far.pipe(near);
    });
    this.#server.listen(port, "127.0.0.1");
  }

  /** Ends every connection, and those that come. */
  cut() {
    this.isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.isCut = false;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
