// Load a page in PhantomJS and write down what it says: phantom.js URL
var page = require('webpage').create();
page.onConsoleMessage = function (text) { console.log(text); };
page.onError = function (message, trace) { console.log('error: ' + message + ' ' + JSON.stringify(trace)); };
page.open(require('system').args[1], function (status) { console.log('loaded: ' + status); });
