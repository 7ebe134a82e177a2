'use strict';
// The test message number i of a prefix, the same in every language (see ../README.md).

exports.tag = i => `tag-${i % 3}`;

exports.keys = (prefix, i) => [ `${prefix}-${i}`, `group-of-seven-${Math.floor(i / 7)}` ];

exports.properties = (prefix, i) => ({
  prefix,
  index: String(i),
  text: `Grüße von ${prefix}, 世界 🌊 ${i}`,
});

exports.body = (prefix, i) => {
  let x = 2166136261;
  for (const byte of Buffer.from(`${prefix}/${i}`)) x = Math.imul(x ^ byte, 16777619) >>> 0;
  const size = i % 100 === 1 ? 1 : 1 + x % (i % 8 === 0 ? 20480 : 1024);
  const out = Buffer.alloc(size);
  for (let k = 0; k < size; k++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out[k] = x >>> 24;
  }
  return out;
};
