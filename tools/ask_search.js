// Ask the built search questions, tests/docs/questions.txt by default: `node tools/ask_search.js [FILE [FOLDER]]`. Each line
// has the places that answer it, "page#section|page: question". One must be among the first three, and nine in ten first.
const fs = require("fs"), path = require("path"), vm = require("vm");

const [file = "tests/docs/questions.txt", folder = "docs/_build"] = process.argv.slice(2);
const read = (name) => fs.readFileSync(path.join(folder, name), "utf8");
const page = { document: { getElementById: () => null }, localStorage: { setItem() {} }, SPHINX_HIGHLIGHT_ENABLED: false, _ready() {} };
page.window = vm.createContext(page);
const scripts = ["_static/searchtools.js", "_static/language_data.js", "_static/sections.js", "searchindex.js"];
vm.runInContext("const _ = String;\n" + scripts.map(read).join("\n") + "\nvar ask = Search", page);

const lines = fs.readFileSync(file, "utf8").trim().split("\n");
let first = 0, near = 0;
for (const line of lines) {
  const [places, question] = line.split(/: (.*)/);
  const found = page.ask._performSearch(...page.ask._parseQuery(question)).reverse().slice(0, 3);
  const right = found.map(([name, , anchor]) => places.split("|").some((each) => each === name || each === name + anchor));
  if (!right[0]) console.log(`${question}: ${found.map((hit) => hit[0] + hit[2]).join(", ")}, not ${places}`);
  first += !!right[0];
  near += right.includes(true);
}
console.log(`${lines.length} questions: ${first} answered by the first hit, ${near} by one of the first three`);
process.exitCode = near < lines.length || first < 0.9 * lines.length ? 1 : 0;
