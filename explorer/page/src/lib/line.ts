// The WebSocket to the gateway: numbered questions, answers to whoever asked, and a new connection
// where one broke.

import { knock } from "./door";
import { heard, type Heard } from "./frames";
import type { Key } from "./key";

export type Connection = "connecting" | "open" | "lost" | "stranger";

export interface Failure {
  message: string;
  kind: string;
  field: string;
  retry_after_s: number | null;
}

/** Whether it may be otherwise a moment later. */
export function isPassing({ kind }: Failure): boolean {
  return kind === "UnavailableError" || kind === "OverloadedError" || kind === "DeadlineError";
}

type Hearer = (answer: Heard) => void;

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4000;

export class Line {
  private socket: WebSocket | null = null;
  private hearers = new Map<number, Hearer>();
  private rejecting = new Set<(reason: Error) => void>();
  private number = 0;
  private wait = FIRST_WAIT_MS;
  /** Answers are read in the order in which they came, though reading one may take a while. */
  private reading: Promise<void> = Promise.resolve();

  constructor(
    private readonly key: Key,
    private readonly onConnection: (now: Connection) => void,
  ) {}

  open(): void {
    this.onConnection("connecting");
    const socket = new WebSocket(new URL("live", location.href.replace(/^http/, "ws").replace(/[?#].*$/, "")), this.key.protocols());
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.wait = FIRST_WAIT_MS;
      this.onConnection("open");
    };
    socket.onmessage = ({ data }) => {
      // One that cannot be shown keeps nobody from hearing the next.
      this.reading = this.reading.then(() => this.tell(data as string | ArrayBuffer)).catch(reportError);
    };
    socket.onclose = () => void this.closed();
    this.socket = socket;
  }

  /** Ask, and hear every answer; returns the question's number, 0 where nobody is there. */
  ask(question: Record<string, unknown>, hearer: Hearer): number {
    if (this.socket?.readyState !== WebSocket.OPEN) return 0;
    this.number += 1;
    this.hearers.set(this.number, hearer);
    this.socket.send(JSON.stringify({ id: this.number, ...question }));
    return this.number;
  }

  /** Ask what has one answer, before which it may be told how far it is; a failure is thrown in its words. */
  answer(question: Record<string, unknown>, onProgress: (progress: unknown) => void = () => undefined): Promise<Heard> {
    return new Promise((resolve, reject) => {
      this.rejecting.add(reject);
      const number = this.ask(question, (answer) => {
        if ("progress" in answer.fields) return onProgress(answer.fields.progress);
        this.forget(answer.id);
        this.rejecting.delete(reject);
        if ("error" in answer.fields) reject(new Error((answer.fields.error as Failure).message));
        else resolve(answer);
      });
      if (!number) this.reject();
    });
  }

  /** Hear no more answers to a question. */
  forget(number: number): void {
    this.hearers.delete(number);
  }

  private reject(): void {
    for (const reject of this.rejecting) reject(new Error("the explorer does not answer"));
    this.rejecting.clear();
  }

  private async tell(data: string | ArrayBuffer): Promise<void> {
    const answer = await heard(data);
    this.hearers.get(answer.id)?.(answer);
  }

  private async closed(): Promise<void> {
    this.hearers.clear();
    this.reject();
    const door = await knock(this.key);
    // Whoever is there and does not know this browser was started again, or was told to forget it.
    this.onConnection(door && !door.isOpen ? "stranger" : "lost");
    setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(LONGEST_WAIT_MS, 2 * this.wait);
  }
}
