import Cometware = require("./cometware.js");

export default Cometware;
