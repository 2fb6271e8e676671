// Ask the built search tests/docs/questions.txt, and list questions whose first hit is another: `node tools/ask_search.js`.
const fs = require("fs"), path = require("path"), vm = require("vm");

const read = (name) => fs.readFileSync(path.join(process.argv[2] || "docs/_build", name), "utf8");
const page = { document: { getElementById: () => null }, localStorage: { setItem() {} }, SPHINX_HIGHLIGHT_ENABLED: false, _ready() {} };
page.window = vm.createContext(page);
const scripts = ["_static/searchtools.js", "_static/language_data.js", "searchindex.js"];
vm.runInContext("const _ = String;\n" + scripts.map(read).join("\n") + "\nvar ask = Search", page);

// The section of an anchor is the last that begins before it.
function section(name, anchor) {
  const html = read(name + ".html");
  const above = html.slice(0, html.search(new RegExp(`id="${anchor.slice(1)}"`)) + anchor.length + 4);
  return ([...above.matchAll(/<section id="([^"]*)"/g)].pop() || [])[1];
}

let wrong = 0;
for (const line of fs.readFileSync("tests/docs/questions.txt", "utf8").trim().split("\n")) {
  const [place, question] = line.split(/: (.*)/);
  const found = page.ask._performSearch(...page.ask._parseQuery(question)).pop() || ["nothing", "", ""];
  const [name, heading] = place.split("#");
  const same = found[0] === name && (!heading || (found[2] && section(name, found[2]) === heading));
  if (!same) console.log(`${question}: ${found[0]}${found[2]}, not ${place}`);
  wrong += !same;
}
process.exitCode = wrong ? 1 : 0;
