'use strict';

// The official listener in front of one private TCP target.
//
//   RELAY_HOST, RELAY_PATH, RELAY_KEY_NAME, RELAY_KEY   where and as whom to listen
//   TARGET                                              host:port to reach
//
// Prints "ready" each time the control channel is up.

const net = require('net');
const relay = require('hyco-ws');
const bridge = require('./bridge');

const { RELAY_HOST, RELAY_PATH, RELAY_KEY_NAME, RELAY_KEY, TARGET } = process.env;
const [host, port] = TARGET.split(':');

const uri = relay.createRelayListenUri(RELAY_HOST, RELAY_PATH);
const token = () => relay.createRelayToken(uri, RELAY_KEY_NAME, RELAY_KEY);

const server = relay.createRelayedServer({ server: uri, token }, (ws) => {
  bridge(ws, net.connect({ host, port, allowHalfOpen: true }));
});
server.on('listening', () => console.log('ready'));
server.on('error', (err) => {
  // The library reconnects at once and for ever; one failure is enough here.
  console.error('control channel:', err.message || err);
  process.exit(1);
});
