'use strict';

// The official sender behind one local TCP port.
//
//   RELAY_HOST, RELAY_PATH, RELAY_KEY_NAME, RELAY_KEY   where and as whom to send
//   LISTEN                                              host:port to accept on
//
// Prints "ready" when the port is open.

const net = require('net');
const relay = require('hyco-ws');
const bridge = require('./bridge');

const { RELAY_HOST, RELAY_PATH, RELAY_KEY_NAME, RELAY_KEY, LISTEN } = process.env;
const [host, port] = LISTEN.split(':');

const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
  const uri = relay.createRelaySendUri(RELAY_HOST, RELAY_PATH);
  const ws = relay.relayedConnect(uri, relay.createRelayToken(uri, RELAY_KEY_NAME, RELAY_KEY));
  ws.once('open', () => socket.resume());
  bridge(ws, socket);
});
server.listen({ host, port }, () => console.log('ready'));
