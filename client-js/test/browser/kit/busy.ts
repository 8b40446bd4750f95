/** Whether a connection of HTTP/1.1 carries something: a request that is not answered whole, or a WebSocket. */

const END = "\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";

export class Busy {
  /** Whether it does now. */
  now = false;
  /** What has come of an answer's head. */
  private head = "";
  /** Bytes of the answer's body that are still to come; `undefined` where its head or its end says that. */
  private left: number | undefined;

  /** A request begins. */
  asked(): void {
    this.now = true;
    this.head = "";
    this.left = undefined;
  }

  /** A piece of the answer came. */
  answered(piece: Buffer): void {
    const text = piece.toString("latin1");
    let body = piece.length;
    if (!this.head.includes(END)) {
      this.head += text;
      const end = this.head.indexOf(END);
      if (end < 0) return;
      body = this.head.length - end - END.length;
      this.head = this.head.slice(0, end + END.length);
      const length = /\r\ncontent-length: (\d+)\r\n/i.exec(this.head)?.[1];
      this.left = length === undefined ? undefined : Number(length);
    }
    if (this.left !== undefined) this.left -= body;
    if (
      this.left === 0 ||
      (this.left === undefined && this.isChunked() && text.endsWith(LAST_CHUNK))
    )
      this.now = false;
  }

  private isChunked(): boolean {
    return /\r\ntransfer-encoding: chunked\r\n/i.test(this.head);
  }
}
