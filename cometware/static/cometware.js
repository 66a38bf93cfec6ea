/*! cometware, MIT */
// One ordered message channel, whatever the browser and the network. A client is a key that it made itself and a position
// in the channel's log. So a change of transport is nothing but a second reader at the same position: what it repeats is
// dropped here, and nothing has to be paused or flushed.
// Syntax: ECMAScript 5. Sections: tools, data, transports, the client.
(function (root, make) {
  if (typeof module === 'object' && module.exports) module.exports = make(root);
  else root.Cometware = make(root);
})(typeof self !== 'undefined' ? self : typeof global !== 'undefined' ? global : this, function (window) {
  'use strict';

  // --- Tools: what old browsers do not have ---

  var document = window.document;
  var location = window.location || {};
  var navigator = window.navigator || {};
  var later = function (milliseconds, call) { return setTimeout(call, Math.min(milliseconds, 2e9)); }; // beyond 2^31 it would not wait at all

  function now() { return +new Date(); }

  function each(list, call) {
    for (var i = 0; i < list.length; i++) call(list[i], i);
  }

  function find(list, item) {
    for (var i = list.length; i-- && list[i] !== item;);
    return i;
  }

  function without(list, item) {
    var i = find(list, item);
    if (i >= 0) list.splice(i, 1);
  }

  function listen(target, name, call, end) { // or, at the end, no longer
    if (!target) return;
    if (target.addEventListener) target[end ? 'removeEventListener' : 'addEventListener'](name, call, false);
    else if (target.attachEvent) target[end ? 'detachEvent' : 'attachEvent']('on' + name, call);
  }

  function parse(text) {
    try { return JSON.parse(text); } catch (e) { return null; }
  }

  function absolute(url) {
    if (/^\w+:/.test(url) || !location.host) return url;
    var path = url.charAt(0) === '/' ? url : location.pathname.replace(/[^\/]*$/, '') + url;
    return location.protocol + (/^\/\//.test(url) ? url : '//' + location.host + path);
  }

  function random() { // 130 bits
    var crypto = window.crypto || window.msCrypto, text = '', i = 26;
    var bytes = crypto && crypto.getRandomValues && crypto.getRandomValues(new Uint8Array(i));
    while (i--) text += ((bytes ? bytes[i] : Math.random() * 256) & 31).toString(32);
    return text;
  }

  function query(parameters) {
    var text = '';
    for (var name in parameters) {
      if (parameters[name] || parameters[name] === 0) {
        text += (text ? '&' : '?') + name + '=' + encodeURIComponent(parameters[name]);
      }
    }
    return text;
  }

  function memory(key, value, area) { // a storage may be missing, full or forbidden
    try {
      var storage = window[area || 'localStorage'];
      if (value === undefined) return parse(storage.getItem(key));
      if (value) storage.setItem(key, JSON.stringify(value));
      else storage.removeItem(key);
    } catch (e) {}
  }

  // The keys of a page that goes rest here until the next page of its tab takes them out. A copy of the tab finds none.
  function rests(keys) { return memory('cometware', keys, 'sessionStorage'); }

  var resting = rests() || [];
  rests(null);

  // --- Data: JSON whose leaves may also be bytes, {"$bytes": "<base64>"}; several arguments are {"$args": […]} ---

  var TAG = /^\$+(bytes|args)$/;
  var isArray = Array.isArray || function (value) { return value instanceof Array; };

  function Bytes(base64) { this.base64 = base64; } // stands for bytes where there is no Uint8Array

  function base64(value) { // of what holds bytes; else undefined
    if (value instanceof Bytes) return value.base64;
    if (!window.ArrayBuffer || !window.btoa) return;
    if (value instanceof ArrayBuffer) value = new Uint8Array(value);
    if (!(value.buffer instanceof ArrayBuffer)) return;
    var bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength), text = '';
    for (var i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]);
    return btoa(text);
  }

  function onlyKey(value) { // the key of an object that has just this one
    var found;
    for (var key in value) {
      if (found !== undefined) return;
      found = key;
    }
    return found;
  }

  function only(key, value) {
    var object = {};
    object[key] = value;
    return object;
  }

  function walk(value, leaf) { // a copy of a tree, in which `leaf` may replace an object by another value
    if (!value || typeof value !== 'object' || value.toJSON) return value;
    var result = leaf(value), key;
    if (result !== undefined) return result;
    result = isArray(value) ? [] : {};
    for (key in value) if ({}.hasOwnProperty.call(value, key)) result[key] = walk(value[key], leaf);
    return result;
  }

  function encode(value) {
    return walk(value, function (object) {
      var text = base64(object), key = onlyKey(object);
      if (text !== undefined) return { $bytes: text };
      if (TAG.test(key)) return only('$' + key, encode(object[key]));
    });
  }

  function decode(value) {
    return walk(value, function (object) {
      var key = onlyKey(object), inner = object[key], result, text, i;
      if (!TAG.test(key)) return;
      if (key === '$args') return decode(inner);
      if (key !== '$bytes') return only(key.slice(1), decode(inner));
      if (!window.Uint8Array || !window.atob) return new Bytes(inner);
      text = atob(inner);
      result = new Uint8Array(text.length);
      for (i = 0; i < text.length; i++) result[i] = text.charCodeAt(i);
      return result;
    });
  }

  // --- Transports: each takes a link and begins at once ---
  // The link has: key, cross, credentials; url(parameters, keyed) to receive from and to(keyed) to send to; onopen() at the
  // first bytes, onmessage(text) with a shape or an array of them, onclose(status, text, retryAfter, code) when it is over.
  // The transport adds close() and send(text, done); `duplex` if what is sent needs no answer of its own.

  function openXhr() {
    return window.XMLHttpRequest ? new XMLHttpRequest() : new window.ActiveXObject('Microsoft.XMLHTTP');
  }

  // Ask by XMLHttpRequest: done(status, text, retryAfter), and progress(text so far) where the browser can. With
  // `waits`, the page stands still until then. Returns how to stop.
  function ask(link, method, url, body, done, progress, waits) {
    var xhr = openXhr(), over;
    xhr.open(method, url, !waits);
    if (link.cross) xhr.withCredentials = link.credentials;
    else xhr.setRequestHeader('Comet-Key', link.key);
    if (body) xhr.setRequestHeader('Content-Type', 'text/plain;charset=UTF-8'); // asks no preflight
    xhr.onreadystatechange = function () {
      var state = xhr.readyState, status = 0, text = '', retry;
      if (over || state < 3) return;
      try { text = xhr.responseText; } catch (e) {}
      if (state === 3) return progress && text && progress(text);
      over = 1;
      try {
        status = xhr.status;
        retry = xhr.getResponseHeader('Retry-After');
      } catch (e) {}
      if (status === 200 && xhr.responseURL && xhr.responseURL !== url && /^\s*</.test(text)) { // a page of another address
        text = '';
        status = 302;
      }
      if (progress && status === 200) progress(text);
      done(status, text, retry);
    };
    xhr.send(body || null);
    return function () {
      over = 1;
      xhr.abort();
    };
  }

  function posts(link) { // every transport without a way in sends by POST
    link.send = function (text, done) { return ask(link, 'POST', link.to(), text, done); };
  }

  function lines(link) { // cuts a growing text into lines, of which each is a shape
    var rest = '';
    return function (text) {
      var parts = (rest + text).split('\n');
      rest = parts.pop();
      link.onopen();
      each(parts, function (line) { if (line.charAt(0) === '{') link.onmessage(line); });
    };
  }

  function websocket(link) {
    var plain = link.plain; // without subprotocols: some servers cannot choose one
    var url = link.url(plain ? { v: 1 } : {}, plain).replace(/^http/, 'ws');
    var socket = new WebSocket(url, plain ? [] : ['cometware.v1', 'key.' + link.key]);
    link.duplex = 1;
    socket.onopen = function () { link.onopen(); };
    socket.onmessage = function (event) { link.onmessage(event.data); };
    socket.onclose = function (event) { link.onclose(0, event.reason, 0, event.code); };
    link.send = function (text) { if (socket.readyState === 1) socket.send(text); };
    link.close = function () { socket.close(); };
  }

  function stream(link) {
    var abort = window.AbortController && new AbortController(), take = lines(link), decoder = new TextDecoder(), reader, over;
    function lost() { link.onclose(0); }
    function read() {
      reader.read().then(function (part) {
        if (part.done) return lost();
        take(decoder.decode(part.value, { stream: true }));
        if (!over) read();
      }, lost);
    }
    posts(link);
    link.close = function () {
      over = 1;
      if (abort) abort.abort();
      else if (reader) reader.cancel();
    };
    fetch(link.url({ transport: 'stream' }), {
      cache: 'no-store',
      redirect: 'manual',
      credentials: !link.cross || link.credentials ? 'include' : 'omit',
      headers: link.cross ? {} : { 'Comet-Key': link.key },
      signal: abort && abort.signal
    }).then(function (response) {
      if (response.type === 'opaqueredirect') return link.onclose(302);
      if (response.status !== 200) {
        return response.text().then(function (text) { link.onclose(response.status, text, response.headers.get('Retry-After')); });
      }
      reader = response.body.getReader();
      if (over) reader.cancel();
      else read();
    }).then(null, lost);
  }

  function xhr(link) {
    var take = lines(link), seen = 0;
    posts(link);
    link.close = ask(link, 'GET', link.url({ transport: 'stream', pad: 1 }), null, function (status, text, retry) {
      link.onclose(status === 200 ? 0 : status, text, retry);
    }, function (text) {
      var part = text.slice(seen);
      seen = text.length;
      take(part);
      if (seen > times.rotate) link.onfull(); // the text grows for as long as the request lives
    });
  }

  function eventsource(link) {
    var source = new EventSource(link.url({ transport: 'sse', v: 1, pad: 1 }, 1), { withCredentials: link.cross && link.credentials });
    posts(link);
    source.onopen = function () { link.onopen(); };
    source.onmessage = function (event) { link.onmessage(event.data); };
    source.onerror = function () { link.onclose(0); }; // it would come back by itself, but not from our position
    link.close = function () { source.close(); };
  }

  // Ask by a script tag, whose answer calls the function that we name.
  function script(link, parameters, done, named) {
    var name = named || '_comet' + random(), tag = document.createElement('script'), timer;
    function end(status, shapes) {
      window[name] = function () {}; // a late answer meets nobody
      clearTimeout(timer);
      if (tag.parentNode) tag.parentNode.removeChild(tag);
      if (done) done(status, shapes);
      done = null;
    }
    window[name] = function (shapes) { end(200, shapes); };
    parameters.callback = name;
    tag.src = link.url(parameters, 1);
    tag.async = true;
    tag.onerror = function () { end(0); };
    timer = later(times.script, function () { end(0); });
    document.getElementsByTagName('head')[0].appendChild(tag);
    return function () { done = null; };
  }

  // Send by a form into a hidden frame. What became of it cannot be read, but asked for.
  function form(link, text, done) {
    var holder = document.createElement('div'), name = '_comet' + random(), timer, form;
    function sent() {
      if (!timer) return;
      clearTimeout(timer);
      timer = 0;
      script(link, { transport: 'poll', accepted: 1, wait: 0 }, function (status, shapes) {
        holder.parentNode.removeChild(holder);
        if (shapes) link.onmessage(shapes);
        done(0);
      });
    }
    holder.style.display = 'none';
    holder.innerHTML = '<iframe name=' + name + '></iframe><form method=post accept-charset=utf-8 target=' + name +
      '><textarea name=d></textarea></form>';
    document.body.appendChild(holder);
    form = holder.lastChild;
    form.action = link.to(1);
    form.firstChild.value = text;
    timer = later(times.script, sent);
    form.submit();
    listen(holder.firstChild, 'load', sent);
  }

  // Polls differ in how they ask, and in how long they may be held: `pause` milliseconds between short ones.
  function poll(link, jsonp, pause) {
    var stop, timer, first = 1, asked, loading, name = jsonp && '_comet' + random();
    function next() {
      loading = jsonp && document.readyState !== 'complete'; // a held script would hold back the page's load event
      var parameters = { transport: 'poll', accepted: first, wait: first || pause || loading ? 0 : link.hold() };
      asked = now();
      stop = jsonp ? script(link, parameters, answered, name) : ask(link, 'GET', link.url(parameters), null, answered);
    }
    function answered(status, answer, retry) {
      if (status !== 200) return link.onclose(status, answer, retry, 0, first ? 0 : now() - asked);
      first = 0;
      link.onopen();
      link.onmessage(answer);
      if (stop) timer = later(Math.max(retry * 1000 || 0, link.pause || 0, pause ? link.slow || pause : loading ? times.race : 0), next);
      link.pause = 0;
    }
    if (jsonp) link.send = function (text, done) { form(link, text, done); };
    else posts(link);
    link.close = function () {
      clearTimeout(timer);
      if (stop) stop();
      stop = 0;
    };
    next();
  }

  var transports = {
    websocket: websocket,
    stream: stream,
    xhr: xhr,
    eventsource: eventsource,
    poll: function (link) { poll(link); },
    jsonp: function (link) { poll(link, 1); },
    short: function (link) { poll(link, !usable.poll(link.cross), times.short); }
  };

  // What this browser can do, without trying it.
  var usable = {
    websocket: function () { return window.WebSocket; },
    stream: function (cross) { return usable.poll(cross) && window.fetch && window.TextDecoder && 'body' in Response.prototype; },
    xhr: function (cross) { return usable.poll(cross) && 'onprogress' in openXhr(); },
    eventsource: function (cross) { return usable.poll(cross) && window.EventSource; },
    poll: function (cross) {
      return cross ? window.XMLHttpRequest && 'withCredentials' in openXhr() : window.XMLHttpRequest || window.ActiveXObject;
    },
    jsonp: function () { return document; },
    short: function () { return 1; }
  };

  // The ladder: of each rung the first kind that the browser has.
  var RUNGS = [['websocket'], ['stream', 'xhr', 'eventsource'], ['poll', 'jsonp', 'short']];
  var OFFERED = ['websocket', 'stream', 'poll']; // the rungs, as a server names them that has them

  var JOINING = 1, LEADER = 2, FOLLOWER = 3, ALONE = 4;
  var RESERVED = /^(open|close|error|reset|transport|ping|reconnect|.{257,})$/;

  // Milliseconds; `rotate` and `keptSize` are characters, `kept` messages.
  var times = {
    race: 300, // after which silence the next transport is begun beside the WebSocket
    silent: 2000, // the same for a stream; and how long its tick may take to prove that nobody holds it back
    giveUp: 10000, // a transport that has not greeted by then does not work here
    useful: 10000, // one that lived so long is remembered
    remember: 3600000,
    retry: 500, // the first pause between two rounds is 0 to this, then doubled
    retryMost: 20000,
    upgrade: [10000, 60000, 300000, 1800000],
    hidden: 300000, // a tab that was hidden so long polls slowly
    slow: 20000,
    short: 2000,
    script: 35000,
    margin: 10000, // how much later than announced a heartbeat may come
    check: 3000, // how long a connection may take to prove that it lives
    watch: 2000,
    slept: 12000, // a timer that is so late has slept
    banned: 600000, // WebSockets that die at once are not tried for so long
    kept: 1000, // what may wait while we are away
    keptSize: 4194304,
    heir: 100, // a tab that takes over the lead waits so long
    rotate: 262144
  };

  // --- The client ---

  function Cometware(url, options) {
    if (!(this instanceof Cometware)) return new Cometware(url, options);
    options = options || {};
    var self = this;
    var base = absolute(url).replace(/[?#].*/, '');
    var cross = /^\w+:/.test(base) && base.indexOf(location.protocol + '//' + location.host + '/') !== 0;
    var key = options.key || random(), owed = 0;
    var credentials = options.credentials !== false;
    var kept = 'cometware ' + base; // the name of what we remember, and of the group of our tabs
    var canShare = options.shared !== false && window.BroadcastChannel && navigator.locks;
    var listeners = {};

    // Where we are in the log: `position` is where to read on; of `epoch`, offsets up to `floor` were given to the page.
    var position = options.after || '', epoch = '', floor = -1;
    // What we said and is not acknowledged: the first of `queue` has the number `acked` + 1; `era` counts renumberings.
    var queue = [], queuedSize = 0, acked = 0, era = 0, replies = {};
    var posting = 0, stopPost, postFails = 0, single = 0;
    // How we are connected: the link that serves us, those that want to, and what we learnt about them.
    var serving = null, racing = [], isOpen = 0, ended = 0, away = 0, everOpen = 0, asked = 0;
    var round = 0, retryTimer = 0, retryAfter = 0, why = 'start';
    var preferred = '', worked = {}, plain = 0, deaths = 0, banned = 0, stalls = 0, cuts = 0, upgrades = 0, upgradeTimer = 0, offers = null;
    // Who counts our messages, our key or the tab that leads; and what tabs know of each other: see "One connection".
    var counter = '', tab = random(), said = 0, role = 0, group, followed = { over: 1 }, sharedKey, release, waiting;
    var outbox = {}, taken = {};
    var greeting = { heartbeat: 20, limits: { max_message_bytes: 1e6 } };
    var rtt = 0, hold = 20, beat = now(), hiddenSince = 0, watching;

    self.transport = self.client = null;
    self.position = function () { return position; };

    // Events

    function give(call, a, b) { // to the page; its mistakes are its own, and stop nothing here
      try { call.call(self, a, b); } catch (error) { later(0, function () { throw error; }); }
    }

    function listening(name) { return listeners['$' + name] = listeners['$' + name] || []; }

    function fire(name, a, b) {
      each(listening(name).slice(), function (call) { give(call, a, b); });
    }

    function problem(code, message, done) {
      var error = { code: code, message: message };
      if (done) give(done, error);
      fire('error', error);
    }

    self.on = function (name, call) {
      listening(name).push(call);
      return self;
    };

    self.off = function (name, call) {
      if (call) without(listening(name), call);
      else listeners['$' + name] = 0;
      return self;
    };

    // The ladder, and the race on it: whoever greets first serves us

    function ladder() {
      var names = [], turn = everOpen ? 0 : round >> 1; // as long as nothing worked, the other kinds have their turn, too
      each(RUNGS, function (kinds, rung) {
        var here = [];
        each(kinds, function (name) {
          if (!options.transports && offers && find(offers, OFFERED[rung]) < 0) return;
          if (options.transports ? find(options.transports, name) >= 0 : name !== 'short') {
            if (usable[name](cross)) here.push(name);
          }
        });
        if (rung || banned < now() || options.transports) names[rung] = here[turn % here.length];
      });
      return names;
    }

    function connect() {
      var names = ladder();
      clearTimeout(retryTimer);
      retryTimer = retryAfter = 0;
      if (round && !names.join('')) return finish(4406, 'no transport ' + options.transports + ' here');
      if (!racing.length) begin(names, find(names, preferred));
    }

    // Begin with one transport; when it fails or is silent for a while, begin with the next one beside it.
    function begin(names, index) {
      if (serving || ended || away) return;
      while (index < 3 && !names[index]) index++;
      var name = names[index], begun, shares = name !== 'websocket' || options.shared, link;
      var patience = name === 'websocket' ? Math.max(times.race, 2 * rtt) : silence();
      if (!name) return settle();
      if (!role && canShare && shares) return join(function () { begin(ladder(), index); });
      function next() {
        if (!begun && index < 2) begin(names, index + 1);
        begun = 1;
      }
      link = open(role === FOLLOWER && shares ? 'shared' : name, index, { next: next });
      link.patience = later(patience, next);
    }

    function silence() { return Math.max(times.silent, 4 * rtt); }

    function open(name, rank, flags) {
      var link = { name: name, rank: rank, key: key, cross: cross, credentials: credentials, plain: plain, sent: 0, began: now(), seen: now() };
      for (var flag in flags) link[flag] = flags[flag];
      link.who = name === 'shared' ? name : key;
      link.url = function (parameters, keyed) {
        asked = 1;
        link.before = acked;
        link.after = position;
        if (cross || keyed) parameters.key = key;
        parameters.last = options.last;
        if (options.transports || link.hop === 'buffered') parameters.why = link.hop ? 'stream-buffered' : 'chosen';
        parameters.after = position;
        return base + query(parameters);
      };
      link.to = to;
      link.hold = function () { return hold; };
      link.onopen = function () {
        link.seen = now();
        if (!link.rtt) rtt = Math.min(link.rtt = now() - link.began + 1, 5000);
      };
      link.onmessage = function (text) {
        var shapes = typeof text === 'string' ? parse(text) : text;
        link.seen = now();
        if (!shapes) return lost(link, 'garbage');
        each(isArray(shapes) ? shapes : [shapes], function (shape) { if (!link.over) hear(link, shape); });
      };
      link.onfull = function () { hop('rotation'); };
      link.onclose = function (status, text, retry, code, held) {
        failed(link, status, problemIn(text), retry, code, held);
      };
      link.quits = later(name === 'jsonp' ? times.script : times.giveUp, function () { lost(link, 'silent'); });
      racing.push(link);
      try { (transports[name] || follow)(link); } catch (error) { later(0, function () { lost(link, String(error)); }); }
      return link;
    }

    function to(keyed) { return base + query({ v: 1, key: cross || keyed ? key : '' }); }

    function drop(link) {
      if (link.over) return;
      link.over = 1;
      without(racing, link);
      each([link.patience, link.quits, link.proof, link.hopTimer, link.lasts], clearTimeout);
      try { link.close(); } catch (error) {}
    }

    // A transport has ended by itself: is it refused, told to wait, or only broken?
    function failed(link, status, error, retry, code, held) {
      if (link.over) return;
      if (refuses(status, error)) return;
      if (/^44/.test(code)) return finish(code, error.message);
      if (retry > 0) retryAfter = retry * 1000;
      if (held > 1000 && ++cuts > 1) hold = Math.max(0.5, Math.min(hold, held / 2000)); // somebody cuts what is idle
      if (link.won) {
        if (link.duplex) {
          deaths = link.useless && now() - link.began < 30000 ? deaths + 1 : 0;
          if (deaths > 1) banned = now() + times.banned;
        }
      } else if (link.duplex) plain = !plain;
      else if (cross && !everOpen && options.credentials === undefined) credentials = !credentials;
      lost(link, code ? 'closed ' + code : error.code || 'status ' + status);
    }

    function comesBack(code) { return /^4[0-3]/.test(code); }

    function problemIn(text) { return (parse(text) || {}).error || { message: text }; }

    function refuses(status, error) { // if the application does not want us (any more), it is over
      var redirected = /^3/.test(status), refused = error.close ? !comesBack(error.close) : redirected || /^4(01|03|10)$/.test(status);
      if (refused) finish(error.close || (redirected ? 4401 : 4000 + status), redirected ? 'redirected, as to a login page' : error.message);
      return refused;
    }

    function lost(link, reason, soon) {
      if (!link || link.over) return;
      drop(link);
      if (link === serving) {
        serving = null;
        isOpen = 0;
        why = reason;
        stopPosting();
        if (soon) round = 0;
        if (isStream(link) && link.useless && now() - link.began < 30000 && ++stalls > 2) preferred = ladder()[2];
        tell({ down: reason });
        change(null, reason);
      } else if (link.background) upgradeLater();
      else if (link.hop && serving) {
        serving.hopping = 0;
        hopAgain(link);
      }
      if (link.name === 'shared' && reason === 'silent') leaveGroup(ALONE); // the tab that leads does not answer
      if (link.next) link.next();
      settle(soon);
    }

    // Nobody serves us and nobody is about to: begin again after a pause of random length.
    function settle(soon) {
      if (serving || racing.length || ended || away || retryTimer || role === JOINING) return;
      if (++round === 3) forget();
      retryTimer = later(soon ? 1 : Math.max(retryAfter, pauseAfter(round - 1)), connect);
    }

    function pauseAfter(failures) { return Math.random() * Math.min(times.retryMost, times.retry * Math.pow(2, failures)); }

    function forget() {
      preferred = '';
      offers = null;
      memory(kept, null);
    }

    // Put a second reader beside the one that serves us; it takes over when it greets.
    function hop(reason, name, rank, slow) {
      if (serving && !serving.hopping) {
        serving.hopping = 1;
        open(name || serving.name, name ? rank : serving.rank, { hop: reason, slow: slow });
      }
    }

    // A hop has failed: upwards, the next rung has its turn; elsewhere we try again, ever more rarely.
    function hopAgain(link) {
      var names = ladder(), rank = link.rank;
      if (rank < serving.rank) {
        while (++rank < serving.rank && !names[rank]);
        if (rank < serving.rank) hop(link.hop, names[rank], rank);
        else upgradeLater();
      } else {
        serving.hops = 2 * serving.hops || 1000;
        serving.hopTimer = later(Math.min(times.retryMost, serving.hops), function () { hop(link.hop, link.name, rank, link.slow); });
      }
    }

    function change(name, reason) {
      if (self.transport === name) return;
      self.transport = name;
      fire('transport', name, reason);
    }

    function isLate(link) { return serving && serving !== link && !link.hop && link.rank >= serving.rank; }

    function isStream(link) { return find(RUNGS[1], link.name) >= 0; }

    // A link has greeted, or given its first answer. Does it serve us now?
    function win(link, recovered) {
      var old = serving;
      if (link.won || link.over || (link.background && isStream(link) && !link.proven)) return;
      if (isLate(link)) return drop(link);
      if (link.name === 'shared') goodbye(); // to whom our own WebSocket may have reached
      serving = link;
      link.won = everOpen = 1;
      without(racing, link);
      each([link.patience, link.quits], clearTimeout);
      if (old) drop(old);
      each(racing.slice(), function (other) { if (!other.duplex || link.duplex) drop(other); });
      preferred = ladder()[link.rank];
      if (role === FOLLOWER && link.name !== 'shared') leaveGroup();
      worked[link.name] = 1;
      link.lasts = later(times.useful, function () {
        round = 0;
        if (!options.transports) memory(kept, { name: preferred, offers: offers, until: now() + times.remember });
      });
      if (isStream(link)) prove(link);
      change(link.name, link.hop || (old ? 'upgrade' : why));
      if (!isOpen && !link.over) {
        isOpen = 1;
        fire('open', { transport: link.name, recovered: recovered !== false, client: self.client });
      }
      upgradeLater();
      greetFollowers();
      if (!link.over) flush();
    }

    // Soon after its greeting the server sends a tick. If it does not come, somebody holds the stream back.
    function prove(link) {
      if (!link.proven) link.proof = later(silence(), function () { leaveStream('buffered'); });
    }

    function leaveStream(reason) {
      var polls = ladder()[2];
      worked[serving.name] = 0;
      forget();
      if (polls) hop(reason, polls, 2);
    }

    // A better transport may work by now: try it in the background.
    function upgradeLater() {
      clearTimeout(upgradeTimer);
      if (!serving || !serving.rank || serving.slow || serving.name === 'shared') return;
      var rank = upgrades % serving.rank, name = ladder()[rank];
      upgradeTimer = later(worked[name] ? 1000 : times.upgrade[Math.min(upgrades, 3)], function () {
        name = ladder()[rank];
        worked[name] = 0;
        upgrades++;
        if (racing.length || !name) upgradeLater();
        else open(name, rank, { background: 1 });
      });
    }

    // Receiving

    function hear(link, shape) {
      if (shape.open) greet(link, shape.open);
      else if (shape.down) lost(link, shape.down, 1);
      else if (shape.close) {
        if (comesBack(shape.close.code)) lost(link, shape.close.reason || 'closed ' + shape.close.code);
        else finish(shape.close.code, shape.close.reason);
      } else if (shape.error && !shape.id) refused(link, shape.error);
      else if (shape.reconnect) rest(link, shape.reconnect.wait_seconds * 1000);
      else {
        if (now() - link.greeted > 50) { // not in one piece with the greeting
          clearTimeout(link.proof);
          link.proven = 1;
        }
        win(link);
        if (link !== serving) return;
        if (shape.reset) reset(shape.reset);
        else if (shape.accepted >= 0) count(link, shape.accepted);
        else if (shape.ping) move(shape.ping);
        else if (!shape.id || move(shape.id)) {
          link.useless = round = 0;
          tell(shape);
          if (shape.reply) return answered(shape);
          fire(shape.event, decode(shape.data), shape.id);
        }
        if (shape.ping || shape.reset) tell(shape);
      }
    }

    function part(text) {
      var dash = text.lastIndexOf('-');
      return { epoch: text.slice(0, dash), offset: +text.slice(dash + 1) };
    }

    function move(to) { // nothing: we have been there already
      var at = part(to);
      if (at.epoch === epoch && at.offset <= floor) return;
      start(to);
      return 1;
    }

    function start(at) {
      position = at;
      at = part(at);
      epoch = at.epoch;
      floor = at.offset;
    }

    function greet(link, info) {
      var at = part(info.position), here = part(position);
      if (!link.after && position && (at.epoch !== here.epoch || at.offset > here.offset)) {
        drop(link); // it began without a position, beside one that has gone on: between them would be a hole
        open(link.name, link.rank, { next: link.next, hop: link.hop, background: link.background });
        return;
      }
      if (isLate(link)) return drop(link);
      link.greeted = now();
      link.useless = 1;
      self.client = info.client;
      greeting = info;
      know(info.server && info.server.transports);
      if (info.recovered === false || !position) start(info.position);
      if (link.name === 'shared') counter = link.who;
      else count(link, info.accepted);
      win(link, info.recovered);
    }

    // What this server cannot carry is not tried again, nor by the next page: each try would be an error in the browser's console.
    function know(transports) {
      if (!transports || !transports.length || options.transports) return;
      var lacks = find(transports, OFFERED[0]) < 0 || find(transports, OFFERED[1]) < 0;
      if (!lacks && !offers) return;
      offers = lacks ? transports : null;
      memory(kept, lacks ? { offers: offers, until: now() + times.remember } : null);
    }

    function count(link, n) { // how much of ours was accepted, says whoever counts
      if (counter !== link.who) {
        counter = link.who;
        upTo(n);
        restart(n = Math.max(n, owed)); // what our last page said may still be on its way
        owed = 0;
        tell({ upto: n });
      } else if (n < link.before) renumber(n);
      else acknowledge(n);
      flush();
    }

    function reset(info) {
      if (info.position) start(info.position);
      failReplies('reset', info.reason);
      fire('reset', info);
    }

    function failReplies(code, reason) {
      var lost = replies;
      replies = {};
      for (var n in lost) if (lost[n]) give(lost[n], { code: code, message: reason });
    }

    function answered(shape) {
      (role === FOLLOWER ? upTo : acknowledge)(shape.reply);
      var done = replies[shape.reply], error = shape.error;
      delete replies[shape.reply];
      if (done) give(done, error || null, decode(shape.data));
      else if (error) fire('error', error);
    }

    function refused(link, error) {
      if (error.status) failed(link, error.status, error);
      else if (error.code === 'number') {
        countedTo(error.accepted);
        link.sent = 0;
        flush();
      } else if (error.wait_seconds) {
        link.sent = 1e9; // nothing before the wait is over, then the same numbers again
        later(error.wait_seconds * 1000, function () {
          link.sent = 0;
          flush();
        });
      } else if (/closed|busy/.test(error.code)) lost(link, error.message);
      else fire('error', error);
    }

    function rest(link, milliseconds) { // the server asks for another connection after a while
      if (!isStream(link) && !link.duplex) link.pause = milliseconds;
      else link.hopTimer = later(milliseconds, function () { hop('asked'); });
    }

    // Sending

    self.send = function (data, done) { return self.emit('message', data, done); };

    self.emit = function (event, data, done) {
      var text = JSON.stringify(encode(data === undefined ? null : data)), item = { event: event, data: text, done: done, asks: done && 1, tab: tab };
      if (ended) return problem('closed', 'closed', done);
      if (!event || RESERVED.test(event)) throw new Error('cometware: reserved: ' + event);
      if (queue.length >= times.kept || queuedSize + text.length > times.keptSize) {
        return problem('full', queue.length + ' messages wait', done);
      }
      queue.push(item);
      queuedSize += text.length;
      flush();
      return true;
    };

    function written(item, n) {
      return '{"n":' + n + ',"event":' + JSON.stringify(item.event) + (item.asks ? ',"reply":true' : '') + ',"data":' + item.data + '}';
    }

    function limit() { return greeting.limits.max_message_bytes; }

    function size(text) { // in bytes of UTF-8
      return text.length < limit() / 3 ? text.length : unescape(encodeURIComponent(text)).length;
    }

    function giveBack(index, code, message) { // this message will never be taken
      var item = queue.splice(index, 1)[0];
      queuedSize -= item.data.length;
      problem(code || 'size', message || 'over ' + limit() + ' bytes', item.done);
    }

    function flush() {
      var link = serving, text;
      if (!link || !queue.length || counter !== link.who) return;
      if (!link.duplex) return post(link);
      while (link === serving && link.sent < queue.length) {
        text = written(queue[link.sent], acked + link.sent + 1);
        if (size(text) > limit()) giveBack(link.sent);
        else {
          if (link.name !== 'shared') leads(link.sent);
          link.send(text, queue[link.sent]);
          link.sent++;
        }
      }
    }

    function batch(most) { // the first of what waits, up to so many bytes, and so many that a farewell may follow
      var texts = [], text, count = single || Math.min(200, greeting.limits.max_waiting_messages - 1) || 1;
      while (queue[texts.length] && texts.length < count) {
        text = written(queue[texts.length], acked + texts.length + 1);
        most -= size(text) + 1;
        if (most < 1) break;
        leads(texts.length);
        texts.push(text);
      }
      return texts;
    }

    function post(link) { // one at a time; what queues meanwhile goes in the next one
      var texts, of = era, from = acked, count;
      if (posting) return;
      texts = batch(limit());
      count = texts.length;
      if (!count) {
        giveBack(0);
        return flush();
      }
      posting = now();
      stopPost = link.send('[' + texts.join() + ']', function (status, text, retry) {
        var accepted = (parse(text) || {}).accepted, error = problemIn(text), wait = 0;
        posting = 0;
        stopPost = null;
        if (ended || of !== era) return flush();
        if (status === 200 && accepted >= 0) acknowledge(accepted);
        else if (error.code === 'number') countedTo(error.accepted);
        else if (refuses(status, error)) return;
        else if (error.close) lost(serving, error.message);
        else if (/^4(00|13)$/.test(status)) {
          single = 1;
          if (count === 1) giveBack(0, error.code || 'refused', error.message);
        } else if (acked === from) { // else it came back on the other way
          if (postFails === 4) problem('post', 'status ' + status);
          wait = Math.max(retry * 1000 || 0, pauseAfter(postFails++));
        }
        if (!wait) postFails = 0;
        later(wait, flush);
      });
    }

    function acknowledge(n) {
      var items = queue.splice(0, n - acked);
      each(items, function (item) {
        item.as = ++acked;
        accepted(item);
      });
      if (items.length && serving) serving.sent = Math.max(0, serving.sent - items.length);
      acked = Math.max(acked, n);
      tell({ upto: acked });
    }

    function countedTo(n) {
      if (n < acked) renumber(n);
      else acknowledge(n);
    }

    function accepted(item) { // this message was accepted under this number
      queuedSize -= item.data.length;
      if (item.done) replies[item.as] = item.done;
    }

    function renumber(n) { // the server has forgotten us: our numbers begin again behind what it knows
      tell({ upto: -1 });
      restart(n);
    }

    function restart(n) {
      acked = n;
      era++;
      if (serving) serving.sent = 0;
    }

    function upTo(n) { // the tab that leads had so much accepted; -1: its numbers are void
      for (var number in outbox) if (n < 0 || number <= n) delete outbox[number];
      each(queue.slice(), function (item) {
        if (n < 0) item.as = undefined;
        if (!(item.as <= n)) return;
        without(queue, item);
        accepted(item);
        if (serving && serving.sent) serving.sent--;
      });
    }

    // The end

    function stopPosting() {
      if (stopPost) stopPost();
      stopPost = null;
      posting = 0;
    }

    function stop() {
      clearTimeout(retryTimer);
      clearTimeout(upgradeTimer);
      retryTimer = 0;
      stopPosting();
      if (serving) drop(serving);
      each(racing.slice(), drop);
      serving = null;
      isOpen = 0;
    }

    function finish(code, reason) {
      if (ended) return;
      ended = 1;
      clearInterval(watching);
      attend(1);
      tell({ close: { code: code, reason: reason } });
      stop();
      leaveGroup();
      change(null, reason);
      each(queue, function (item, i) { replies['q' + i] = item.done; });
      queue = [];
      failReplies('closed', reason);
      fire('close', { code: code, reason: reason || '' });
    }

    // So that nobody has to wait whether we come back. If the page is `going`, we may: the next one has our key for that.
    function goodbye(going) {
      var link = serving && serving.duplex && serving.who === key && serving, texts = [], led, tab;
      if (ended || !asked) return;
      for (tab in taken) led = role === LEADER; // other tabs go on with this client
      if (!link && role !== FOLLOWER) texts = batch(60000);
      if (going && !led) {
        rests((rests() || []).concat({ base: base, key: key, n: acked + (link ? queue[link.sent - 1] && link.sent || 0 : texts.length), at: now() }));
      }
      texts.push(going || led ? '{"close":{"wait":2}}' : '{"close":{}}');
      if (link) link.send(texts[0]);
      else speak('[' + texts.join() + ']', going);
      if (led || role === FOLLOWER) {
        key = random();
        asked = 0;
      }
    }

    function speak(text, going) { // beside all connections, and when the page is going
      function nothing() {}
      var url = to(1);
      try {
        if (navigator.sendBeacon && (!cross || credentials) && navigator.sendBeacon(url, text)) return;
        if (going && window.fetch) {
          fetch(url, { method: 'POST', body: text, keepalive: true, credentials: !cross || credentials ? 'include' : 'omit' }).then(nothing, nothing);
        } else if (usable.poll(cross)) ask({ key: key, cross: cross, credentials: credentials }, 'POST', url, text, nothing, 0, going);
        else if (serving) serving.send(text, nothing);
      } catch (e) {}
    }

    self.close = function () {
      goodbye();
      leaveGroup();
      finish(1000, '');
    };

    // Change to one transport by hand and stay there; without a name, all are allowed again.
    self.use = function (name) {
      var names = [], rank = 0, other;
      for (other in usable) if (usable[other](cross)) names.push(other);
      if (name && find(names, name) < 0) throw new Error('cometware: no transport ' + name + ' here, but ' + names.join(', '));
      options.transports = name && [name];
      names = ladder();
      while (!names[rank]) rank++;
      if (role === FOLLOWER) leaveGroup(ALONE);
      each(racing.slice(), drop);
      if (serving) serving.hopping = 0;
      if (serving) hop('by hand', names[rank], rank);
      else connect();
      return self;
    };

    // One connection for all tabs: the tab that holds the lock leads and is a little server to the others, the same client to
    // the real one. It tells everything that it sends before it does so; when it is gone, the next in the lock's queue goes
    // on with the same key and sends the same under the same numbers, so nothing of any tab is lost or done twice.

    function join(then) {
      var ours = group = new BroadcastChannel(kept);
      role = JOINING;
      group.onmessage = function (event) {
        var data = parse(event.data);
        if (role === LEADER) heardFollower(data);
        else if (role === FOLLOWER && data.shape && (!data.to || data.to === tab)) heardLeader(data.shape, data.key);
      };
      navigator.locks.request(kept, { ifAvailable: true }, function (lock) {
        if (group !== ours) return; // we have left meanwhile
        if (serving) return leaveGroup(); // our own WebSocket was quicker
        role = lock ? LEADER : FOLLOWER;
        then();
        if (lock) return held();
        waiting = new AbortController();
        navigator.locks.request(kept, { signal: waiting.signal }, function () {
          if (group !== ours) return;
          later(times.heir, function () { if (group === ours) succeed(); }); // what the last leader told may still be on its way
          return held();
        }).then(null, function () {});
      }).then(null, function () {
        leaveGroup(ALONE);
        then();
      });
    }

    function held() { return new Promise(function (resolve) { release = resolve; }); }

    function leaveGroup(next) {
      if (role === FOLLOWER) whisper({ bye: tab });
      if (release) release();
      if (waiting) waiting.abort();
      if (group) group.close();
      group = release = waiting = null;
      role = next;
      upTo(-1);
    }

    function succeed() {
      var own = queue, number, item, mine;
      function isIt(one) { if (item.tab === tab && one.n === item.n) mine = one; }
      role = LEADER;
      key = sharedKey || key;
      queue = [];
      for (number in outbox) {
        item = outbox[number];
        mine = 0;
        each(own, isIt);
        without(own, mine);
        taken[item.tab] = item.n;
        queue.push(mine || item);
        if (!mine) queuedSize += item.data.length;
      }
      queue = queue.concat(own);
      outbox = {};
      followed.next = null;
      each(racing.slice(), drop);
      if (serving) lost(serving, 'leader', 1);
      else settle(1);
    }

    function tell(shape, to) { // as a leader
      if (role === LEADER) whisper({ shape: shape, to: to, key: key });
    }

    function whisper(data) { if (group) group.postMessage(JSON.stringify(data)); } // as JSON, an item leaves its callback at home

    function numbered(item) { // among what this tab told others: what is refused before has no number, so that there is no gap
      item.n = item.n || ++said;
      return item;
    }

    function leads(index) { // tell what is about to be sent, and under which number
      var item = numbered(queue[index]);
      item.as = acked + index + 1;
      tell({ sends: item });
    }

    // What passed us before they came is in the log. Who has a history to read hears the rest after it.
    function greetFollowers(to, after, last) {
      function answer(status, text) {
        var shapes = parse(text);
        if (!isArray(shapes) || shapes.length > 255) shapes = [{ reset: { reason: 'shared' } }]; // more than one poll takes
        greeting.recovered = 1; // to them it is the first one
        greeting.position = position;
        if (!shapes[0] || !shapes[0].open) shapes.unshift({ open: greeting });
        tell({ history: shapes }, to);
      }
      if (!serving) tell({ wait: 1 }, to);
      else if (!to) tell({ led: 1 });
      else if (after ? after === position : !last) answer(0, '[]');
      else ask(serving, 'GET', base + query({ transport: 'poll', wait: 0, after: after, last: last, key: cross && key }), null, answer);
    }

    function heardFollower(data) {
      var item = data.say;
      delete taken[data.bye];
      if (data.hello) {
        if (!(taken[data.from] >= data.hello)) taken[data.from] = data.hello - 1;
        greetFollowers(data.from, data.after, data.last);
      }
      if (!item || item.n !== taken[item.tab] + 1) return;
      taken[item.tab] = item.n;
      if (item.as <= acked && counter === key) return tell({ upto: acked });
      queue.push(item);
      queuedSize += item.data.length;
      flush();
    }

    function heardLeader(shape, theirKey) {
      var link = followed, sends = shape.sends;
      sharedKey = theirKey;
      if (sends) {
        outbox[sends.as] = sends;
        if (sends.tab === tab) each(queue, function (item) { if (item.n === sends.n) item.as = sends.as; });
      } else if (shape.upto) upTo(shape.upto);
      else if (link.over) return;
      else if (shape.wait) each([link.patience, link.quits], clearTimeout);
      else if (shape.history) {
        sends = shape.history.concat(link.early || []);
        link.early = 0;
        link.onmessage(sends);
      } else if (!shape.led) {
        if (link.early) link.early.push(shape);
        else link.onmessage([shape]);
      } else {
        link.sent = 0; // another leader, or the same one back: what it has heard already it does not take again
        link.hello();
        flush();
      }
    }

    function follow(link) {
      followed = link;
      link.duplex = 1;
      link.hello = function () {
        link.after = position;
        link.early = []; // what we hear before we have our history
        whisper({ from: tab, hello: queue[0] && queue[0].n || said + 1, after: position, last: options.last });
      };
      link.send = function (text, item) {
        if (item) whisper({ from: tab, say: numbered(item) });
        else link.hello(); // it only wants to hear something
      };
      link.close = function () {};
      link.hello();
    }

    // The life-cycle of a page: clocks are trusted, timers are not

    function check() { // is the connection alive? If it does not say so at once, we have another
      var link = serving;
      if (!link) return connect(round = 0);
      if (!link.duplex) return hop('woke');
      link.send('{"ping":1}');
      later(times.check, function () { if (link === serving && now() - link.seen >= times.check) lost(link, 'silent', 1); });
    }

    function watch() {
      var time = now(), slept = time - beat > times.slept, link = serving;
      beat = time;
      if (link && time - link.seen > greeting.heartbeat * 1000 + Math.max(times.margin, 4 * rtt)) {
        if (isStream(link) && ++stalls > 1) leaveStream('silent');
        lost(link, 'silent', 1);
      } else if (slept) check();
      if (posting && time - posting > 60000) {
        stopPosting();
        flush();
      }
      if (hiddenSince && time - hiddenSince > times.hidden && link && !link.duplex && !link.slow && role !== LEADER) {
        hop('hidden', 'short', link.rank, times.slow); // gives the stream back
      }
    }

    function shown() {
      hiddenSince = document.hidden ? hiddenSince || now() : 0;
      if (hiddenSince) return;
      watch();
      if (serving && serving.slow) hop('shown', preferred, serving.rank);
    }

    function leave() {
      goodbye(1);
      away = 1;
      stop();
      leaveGroup();
    }

    function comeBack() {
      if (!away) return;
      away = 0;
      rests(null);
      why = 'shown';
      connect(round = 0);
    }

    function online() {
      beat = 0;
      watch();
    }

    function offline() {
      lost(serving, 'offline');
    }

    function attend(end) { // to what happens to the page; at the end no longer
      listen(window, 'onpagehide' in window ? 'pagehide' : 'unload', leave, end);
      listen(window, 'pageshow', comeBack, end);
      listen(window, 'offline', offline, end);
      listen(window, 'online', online, end);
      listen(document, 'resume', online, end);
      listen(document, 'visibilitychange', shown, end);
      listen(navigator.connection, 'change', online, end);
    }

    watching = setInterval(watch, times.watch);
    attend();

    var rested;
    each(resting.slice(), function (one) {
      if (rested || one.base !== base || now() - one.at > 2000 || options.key && options.key !== one.key) return;
      without(resting, rested = one);
      key = one.key;
      owed = one.n;
    });
    var remembered = options.remember !== false && memory(kept);
    if (remembered && remembered.until > now()) {
      preferred = remembered.name;
      offers = remembered.offers;
    }
    connect();
  }

  Cometware.times = times;
  Cometware.transports = transports;
  Cometware.Bytes = Bytes;
  return Cometware;
});
