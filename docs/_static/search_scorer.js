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
// words in any order and form, if they are at least a third of its words that count.
const performSearch = Search._performSearch;
Search._performSearch = (query, terms, ...others) => {
  const { docnames, titles, filenames, indexentries } = Search._index;
  const stemmer = new Stemmer();
  const first = new Map();
  for (const [entry, places] of Object.entries(indexentries)) {
    const words = splitQuery(entry.toLowerCase()).filter((word) => !stopwords.has(word)).map((word) => stemmer.stemWord(word));
    if (!words.every((word) => terms.has(word)) || 3 * words.length < terms.size) continue;
    for (const [file, id, isMain] of places) {
      const place = docnames[file] + "#" + id;
      if (!isMain || (first.get(place) || [])[4] >= words.length) continue;
      first.set(place, [docnames[file], titles[file], "#" + id, entry, words.length, filenames[file], SearchResultKind.index]);
    }
  }
  const found = performSearch(query, terms, ...others).filter(([name, title, anchor]) => !first.has(name + anchor));
  return [...found, ...[...first.values()].sort((a, b) => a[4] - b[4])]; // the last is shown first
};
