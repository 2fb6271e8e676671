// How the search ranks pages: the numbers are Sphinx's own; `score` puts the guide first and decisions last.
var Scorer = {
  score: ([docname, title, anchor, descr, score, filename]) => {
    if (docname.startsWith("develop/decisions/")) return score - 100;
    if (docname.startsWith("guide/")) return score + 20;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

// Sphinx finds SEARCH_WORDS of conf.py only where the query is a part of them. Here "how do I fix the means?" finds "fix means":
// words in any order and form, if they are at least a third of its words that count, or if no page has all of these.
// Without any such words either, the pages that have most of them are shown.
const performSearch = Search._performSearch;
Search._performSearch = (query, terms, excluded, ...others) => {
  const { docnames, titles, filenames, indexentries } = Search._index;
  const stemmer = new Stemmer();
  const found = performSearch(query, terms, excluded, ...others);
  const first = new Map();
  for (const [entry, places] of Object.entries(indexentries)) {
    const words = splitQuery(entry.toLowerCase()).filter((word) => !stopwords.has(word)).map((word) => stemmer.stemWord(word));
    if (!words.every((word) => terms.has(word)) || (found.length && 3 * words.length < terms.size)) continue;
    for (const [file, id, isMain] of places) {
      const place = docnames[file] + "#" + id;
      if (!isMain || (first.get(place) || [])[4] >= words.length) continue;
      first.set(place, [docnames[file], titles[file], "#" + id, entry, words.length, filenames[file], SearchResultKind.index]);
    }
  }
  if (!found.length && !first.size) return havingMost(terms, excluded);
  const rest = found.filter(([name, title, anchor]) => !first.has(name + anchor));
  return [...rest, ...[...first.values()].sort((a, b) => a[4] - b[4])]; // the last is shown first
};

function havingMost(terms, excluded) {
  const pages = new Map();
  for (const term of terms) {
    for (const hit of Search.performTermsSearch(new Set([term]), excluded)) {
      const before = pages.get(hit[0]);
      hit[4] = Scorer.score(hit) + 1000 + (before ? before[4] : 0);
      pages.set(hit[0], hit);
    }
  }
  return [...pages.values()].sort((a, b) => a[4] - b[4]);
}
