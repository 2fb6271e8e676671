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
