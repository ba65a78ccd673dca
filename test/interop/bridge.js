'use strict';

// bridge joins one web socket of ws 1.1 and one TCP socket that was made with
// allowHalfOpen. The socket may still be connecting; the web socket too.
//
// ws 1.1 answers a Close by itself and ends, so a half-close cannot be kept:
// the end of either side ends both, after what it had sent has been delivered.
module.exports = function bridge(ws, socket) {
  // Both pause and resume throw once the closing handshake has begun.
  const resume = () => {
    if (ws.readyState === ws.OPEN) {
      ws.resume();
    }
  };

  // ws calls back once the kernel has the message, which is all the
  // back-pressure there is: read no more until then.
  const forward = (chunk) => {
    socket.pause();
    ws.send(chunk, { binary: true, mask: true }, (err) => {
      if (err) {
        socket.destroy();
        return;
      }
      socket.resume();
    });
  };
  const open = () => {
    socket.on('data', forward);
    socket.on('end', () => {
      resume(); // a paused web socket would not see the peer's Close
      ws.close(1000);
    });
  };
  if (ws.readyState === ws.OPEN) {
    open();
  } else {
    ws.once('open', open);
  }

  ws.on('message', (data) => {
    if (!socket.write(data) && ws.readyState === ws.OPEN) {
      ws.pause();
      socket.once('drain', resume);
    }
  });
  ws.on('close', () => socket.end());
  ws.on('error', () => socket.destroy());
  socket.on('error', () => ws.terminate());
};
