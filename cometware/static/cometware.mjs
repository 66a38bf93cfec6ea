// For `import Cometware from "…"`: bundlers see a CommonJS module, browsers a script that sets a global.
import * as client from "./cometware.js";

export default client.default || globalThis.Cometware;
