// As lookup.c: each NAME is looked up, from each HOST:PORT a page fetched. The
// first argument is the function of node:dns that is used: lookup asks
// getaddrinfo, resolve4 is c-ares.
'use strict';
const dns = require('node:dns');
const http = require('node:http');

const [how, ...names] = process.argv.slice(2);

async function find(name) {
  if (how === 'lookup') {
    return (await dns.promises.lookup(name, { all: true })).map((found) => found.address);
  }
  return dns.promises.resolve4(name);
}

const microseconds = (began) => Math.round((performance.now() - began) * 1000);

// The form in which http.get wants its own resolver replaced.
function hook(name, options, done) {
  find(name).then((addresses) => {
    const found = addresses.map((address) => ({ address, family: 4 }));
    return options.all ? done(null, found) : done(null, found[0].address, 4);
  }, done);
}

function fetch(address) {
  return new Promise((resolve, reject) => {
    http.get(`http://${address}/`, { agent: false, ...(how === 'lookup' ? {} : { lookup: hook }) }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (data) => { body += data; });
      response.on('end', () => resolve(body));
      response.on('error', reject);
    }).on('error', reject);
  });
}

(async () => {
  for (const name of names) {
    if (name.includes(':')) {
      const began = performance.now();
      const body = await fetch(name);
      process.stdout.write(`${name} ${microseconds(began)} ${body}`);
      continue;
    }
    const began = performance.now();
    const saw = await find(name).then((addresses) => addresses.join(','), (failure) => failure.code);
    console.log(name, microseconds(began), saw);
  }
})();
