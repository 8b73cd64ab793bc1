// Tells comments, strings, numbers and keywords apart in the usual languages. Joined again, the tokens are the text. Pure.

const MOST = 20_000; // characters that are taken apart; longer code has no colours

const SLASHES = String.raw`//[^\n]*|/\*[^]*?(?:\*/|$)`;
const HASH = String.raw`#[^\n]*`;
const DASHES = String.raw`--[^\n]*`;
const QUOTES = String.raw`"(?:[^"\\\n]|\\[^])*"?|'(?:[^'\\\n]|\\[^])*'?`;
const DOUBLE = String.raw`"(?:[^"\\\n]|\\[^])*"?`;
const TICKS = "`(?:[^`\\\\]|\\\\[^])*`?";
const TRIPLE = String.raw`"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)`;

const SCRIPT = "async await break case catch class const continue default delete do else export extends false finally for from function if import in instanceof interface let new null of return static super switch this throw true try type typeof undefined var void while yield";
const CURLY = "abstract as auto bool boolean break byte case catch char class const continue default do double else enum extends false final finally float for goto if implements import int interface long namespace new null nullptr override package private protected public return short signed sizeof static string struct super switch template this throw throws true try typedef union unsigned using var virtual void volatile while";

const LANGUAGES = [
  ["python py", HASH, `${TRIPLE}|${QUOTES}`, "and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield"],
  ["javascript js jsx mjs typescript ts tsx", SLASHES, `${QUOTES}|${TICKS}`, SCRIPT],
  ["json json5 jsonc", SLASHES, QUOTES, "false null true"],
  ["bash sh shell zsh console", String.raw`(?<![^\s])#[^\n]*`, QUOTES, "break case continue do done elif else esac exit export fi for function if in local return set then until while"],
  ["c h cpp c++ cc hpp java cs csharp kotlin swift scala", SLASHES, QUOTES, `${CURLY} fun func guard internal let object val when where`],
  ["go golang", SLASHES, `${QUOTES}|${TICKS}`, "break case chan const continue default defer else fallthrough false for func go goto if import interface map nil package range return select struct switch true type var"],
  ["rust rs", SLASHES, DOUBLE, "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while"],
  ["ruby rb", HASH, QUOTES, "begin break case class def do else elsif end ensure false for if in module next nil not or and rescue return self super then true unless until when while yield"],
  ["php", `${SLASHES}|${HASH}`, QUOTES, `${CURLY} echo elseif foreach function fn use`],
  ["sql", `${DASHES}|${SLASHES}`, QUOTES, "add all alter and as asc between by case create delete desc distinct drop else end exists from group having in index inner insert into is join left like limit not null on or order outer primary right select set table then union unique update values when where with ADD ALL ALTER AND AS ASC BETWEEN BY CASE CREATE DELETE DESC DISTINCT DROP ELSE END EXISTS FROM GROUP HAVING IN INDEX INNER INSERT INTO IS JOIN LEFT LIKE LIMIT NOT NULL ON OR ORDER OUTER PRIMARY RIGHT SELECT SET TABLE THEN UNION UNIQUE UPDATE VALUES WHEN WHERE WITH"],
  ["yaml yml toml ini dockerfile makefile", String.raw`(?<![^\s])#[^\n]*`, QUOTES, "true false null yes no FROM RUN COPY CMD ENV WORKDIR"],
  ["css scss", String.raw`/\*[^]*?(?:\*/|$)`, QUOTES, "important media supports import"],
];

const BY_NAME = new Map(LANGUAGES.flatMap(([names, comment, string, words]) => {
  const tokens = new RegExp(String.raw`(${comment})|(${string})|(\b\d[\w.]*)|([\p{L}_$][\p{L}\p{N}_$]*)|[^]`, "uy");
  const language = { tokens, keywords: new Set(words.split(" ")) };
  return names.split(" ").map((name) => [name, language]);
}));

/** `[kind, text]` in order, `kind` being `comment`, `string`, `number`, `keyword` or empty; `null` for what has no colours. */
export function tokensOf(code, info) {
  const language = BY_NAME.get(info.trim().split(/[\s{,:]/, 1)[0].toLowerCase());
  if (language === undefined || code.length > MOST) return null;
  const found = [];
  language.tokens.lastIndex = 0;
  for (let match = language.tokens.exec(code); match !== null && match[0] !== ""; match = language.tokens.exec(code)) {
    const [text, comment, string, number, word] = match;
    const kind = comment ? "comment" : string ? "string" : number ? "number" : word && language.keywords.has(word) ? "keyword" : "";
    const last = found.at(-1);
    if (kind === "" && last?.[0] === "") last[1] += text;
    else found.push([kind, text]);
  }
  return found;
}
