// The search finds sections by the words of a question, in any order and form. `index_sections` of conf.py has weighed
// them in SECTIONS. A page is shown once, by its best section, and a page of the reference once for each name.
Search._performSearch = (query) => {
  const stemmer = new Stemmer();
  const words = splitQuery(query).flatMap((name) => [name, ...(name.match(/[A-Z]?[a-z]+|[A-Z]{2,}/g) || [])]);
  const asked = words.map((word) => word.toLowerCase()).filter((word) => !stopwords.has(word) && !/^\d+$/.test(word));
  const stem = (word) => (word.startsWith("covariate") ? "covariate" : stemmer.stemWord(word)); // not that of covariances
  const stems = [...new Set(asked.map(stem))];
  const pairs = stems.flatMap((stem, at) => stems.slice(at + 1, at + 3).map((next) => stem + " " + next));
  const sums = new Map();
  for (const stem of [...stems, ...pairs]) {
    for (const [place, weight] of known(stem) || like(stem)) sums.set(place, (sums.get(place) || 0) + weight);
  }
  const hits = new Map();
  const { docnames, filenames, titles } = Search._index;
  for (const [place, sum] of [...sums].sort((a, b) => b[1] - a[1])) {
    const [page, anchor, title] = SECTIONS.places[place];
    const file = docnames.indexOf(page), isName = anchor.includes(".");
    const key = page + (isName ? title.split(".").pop() : "");
    const about = isName ? titles[file] : null; // in place of a summary, which Sphinx can't find at such an anchor
    const hit = [page, title, "#" + anchor, about, sum, filenames[file], SearchResultKind.text];
    if (!hits.has(key)) hits.set(key, hit);
  }
  return [...hits.values()].slice(0, 30).reverse(); // the last is shown first
};

// Objects have names of their own, such as "constructor", which may be words too.
function known(stem) {
  return Object.hasOwn(SECTIONS.stems, stem) && SECTIONS.stems[stem];
}

// For a word that is nowhere: the words that begin with it, as when it is half typed, or else those that differ by a typo.
function like(stem) {
  const words = Object.keys(SECTIONS.stems).filter((each) => stem.length > 2 && !each.includes(" "));
  const longer = words.filter((each) => each.startsWith(stem));
  const alike = longer.length || stem.includes(" ") ? longer : words.filter((each) => isTypo(stem, each));
  return alike.flatMap((each) => SECTIONS.stems[each]);
}

// One letter more, one less, another one, or two exchanged.
function isTypo(one, other) {
  if (one.length < 5) return false;
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  const [rest, tail] = [one.slice(at), other.slice(at)];
  const exchanged = tail.length > 1 && tail[1] + tail[0] + tail.slice(2);
  return [rest.slice(1) === tail, rest === tail.slice(1), rest.slice(1) === tail.slice(1), rest === exchanged].includes(true);
}
