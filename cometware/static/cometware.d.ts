/** One ordered message channel, whatever the browser and the network. */

declare namespace Cometware {
  type TransportName = "websocket" | "stream" | "xhr" | "eventsource" | "poll" | "jsonp" | "short";

  interface Options {
    /** Only these, in the order of the ladder. Default: whatever the browser has. */
    transports?: TransportName[];
    /** How much history to begin with. */
    last?: number;
    /** Where to begin, `channel.position` rendered into the page: nothing that comes after the page is missed. */
    after?: string;
    /**
     * One connection for all tabs of this origin, which are then one client. Default: where the transport is HTTP and the
     * browser has BroadcastChannel and Web Locks. `true`: also for WebSocket. `false`: never.
     */
    shared?: boolean;
    /** Send cookies to a channel of another origin. Default: as its server allows. */
    credentials?: boolean;
    /** Remember for an hour which transport works. Default: true. */
    remember?: boolean;
    /** The secret that makes this client itself, 22 to 86 characters of base64url. Default: a new one at each `new`, or that of the tab's last page if it went within 2 s. */
    key?: string;
  }

  /** Why something failed: `code` is a word for programs, `message` a sentence for people. */
  interface Problem {
    code: string;
    message: string;
    [detail: string]: unknown;
  }

  interface Opened {
    transport: TransportName | "shared";
    /** Nothing was missed since the last connection. */
    recovered: boolean;
    /** This client's id, as the server knows it. */
    client: string;
  }

  /** What the client itself has to tell, and with which values. */
  interface Events {
    /** After each way back from being away, too. */
    open: [info: Opened];
    /** Every change of transport with its reason; null: we are away, and on the way back. */
    transport: [name: TransportName | "shared" | null, why: string];
    /** The server has lost what we missed. Replies still awaited have failed; what follows is whole again. */
    reset: [info: { reason: string }];
    /** It is over; the code says why. */
    close: [info: { code: number; reason: string }];
    error: [problem: Problem];
  }

  /** Names that no message can have. */
  type Reserved = keyof Events | "ping" | "reconnect";

  /** What a listener gets. A message without a name of its own is a `message`; `position` is its place in the channel's log. */
  type Values<Name extends string> = Name extends keyof Events ? Events[Name] : [data: any, position: string];

  /** A JSON tree whose leaves may also be bytes: sent from any typed array or ArrayBuffer, received as Uint8Array. */
  type Data = unknown;

  type Reply = (error: Problem | null, reply?: any) => void;

  /** Milliseconds; `rotate` and `keptSize` are characters, `kept` messages. */
  interface Times {
    race: number;
    silent: number;
    giveUp: number;
    useful: number;
    remember: number;
    retry: number;
    retryMost: number;
    upgrade: number[];
    hidden: number;
    slow: number;
    short: number;
    script: number;
    margin: number;
    check: number;
    watch: number;
    slept: number;
    banned: number;
    kept: number;
    keptSize: number;
    heir: number;
    rotate: number;
  }
}

declare class Cometware {
  constructor(url: string, options?: Cometware.Options);

  /** How we are connected; null while we are not. */
  readonly transport: Cometware.TransportName | "shared" | null;
  /** This client's id, once it is known. */
  readonly client: string | null;

  on<Name extends string>(event: Name, listener: (...values: Cometware.Values<Name>) => void): this;
  /** Without a listener: all of this event. */
  off(event: string, listener?: (...values: any[]) => void): this;

  /** Send a message. While we are away it waits, and is sent once, in order. Not taken (an error event says why): undefined. */
  send(data: Cometware.Data, done?: Cometware.Reply): true | undefined;
  /** Send a named event; `done` gets what its handler returned. */
  emit<Name extends string>(event: Name extends Cometware.Reserved ? never : Name, data?: Cometware.Data, done?: Cometware.Reply): true | undefined;

  /** Change the transport by hand and stay with it; without a name, all are allowed again. */
  use(transport?: Cometware.TransportName): this;
  /** Where we are in the channel's log. */
  position(): string;
  /** Leave at once, also before it was open. What was sent before is handled; nothing more comes. */
  close(): void;

  /** Change them before `new`. */
  static times: Cometware.Times;
  /** Each transport by itself, as the channel's page uses them. */
  static transports: Record<Cometware.TransportName, (link: any) => void>;
  /** What bytes are where the browser has no Uint8Array. */
  static Bytes: { new (base64: string): { base64: string } };
}

export = Cometware;
export as namespace Cometware;
