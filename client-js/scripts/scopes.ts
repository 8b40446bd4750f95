/** The identifiers of a script: which variable each stands for, and which variables cannot share a name. */
import ts from "typescript";

export interface Variable {
  readonly name: string;
  readonly scope: ts.Node;
  /** What the function around it is called, if it is. */
  readonly place: string;
  readonly uses: ts.Identifier[];
  /** Those that would shadow it, or that it would shadow, under the same name. */
  readonly rivals: Set<Variable>;
}

/** One identifier in the text, or a property and its variable, which may be written as one. */
export interface Use {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** Undefined for a property, and for what the platform defines. */
  readonly variable: Variable | undefined;
  readonly role: "property" | "variable" | "pair" | "export";
}

// As TypeScript: in JavaScript the parser takes `exports` for CommonJS.
const FILE = "bundle.ts";

function parse(code: string): { source: ts.SourceFile; checker: ts.TypeChecker } {
  const source = ts.createSourceFile(FILE, code, ts.ScriptTarget.ES2020, true, ts.ScriptKind.TS);
  const options = { noLib: true, noResolve: true, types: [] };
  const host: ts.CompilerHost = {
    getSourceFile: (name) => (name === FILE ? source : undefined),
    getDefaultLibFileName: () => "",
    writeFile: () => undefined,
    getCurrentDirectory: () => "",
    getCanonicalFileName: (name) => name,
    useCaseSensitiveFileNames: () => true,
    getNewLine: () => "\n",
    fileExists: (name) => name === FILE,
    readFile: () => undefined,
  };
  const checker = ts.createProgram([FILE], options, host).getTypeChecker();
  return { source, checker };
}

/** A body shares the scope of its function: a parameter cannot be declared in it again. */
function isScope(node: ts.Node): boolean {
  if (ts.isBlock(node)) return !ts.isFunctionLike(node.parent) && !ts.isCatchClause(node.parent);
  return (
    ts.isSourceFile(node) ||
    ts.isFunctionLike(node) ||
    ts.isClassLike(node) ||
    ts.isForStatement(node) ||
    ts.isForInStatement(node) ||
    ts.isForOfStatement(node) ||
    ts.isCatchClause(node) ||
    ts.isCaseBlock(node)
  );
}

function scopeAt(node: ts.Node): ts.Node {
  let scope = node;
  while (!isScope(scope)) scope = scope.parent;
  return scope;
}

/** Where a declaration counts (ECMA-262, "Scope Analysis"). */
function scopeOf(declaration: ts.Node): ts.Node {
  if (ts.isFunctionExpression(declaration) || ts.isClassExpression(declaration)) return declaration;
  let node = declaration;
  while (ts.isBindingElement(node) || ts.isBindingName(node)) node = node.parent;
  let scope = scopeAt(node.parent);
  const isVar = ts.isVariableDeclaration(node) && !(node.parent.flags & ts.NodeFlags.BlockScoped);
  while (isVar && !ts.isFunctionLike(scope) && !ts.isSourceFile(scope))
    scope = scopeAt(scope.parent);
  return scope;
}

/** What the nearest function with a name is called that has this scope in it. */
function placeOf(scope: ts.Node): string {
  for (let node = scope; node.parent; node = node.parent) {
    if (!ts.isFunctionLike(node)) continue;
    let named: ts.Node & { name?: ts.Node } = node;
    // One that is called where it stands has the name of what it answers.
    while (!named.name && (ts.isFunctionLike(named) || isCalled(named))) named = named.parent;
    if (named.name && ts.isIdentifier(named.name)) return named.name.text;
  }
  return "";
}

const isCalled = (node: ts.Node): boolean =>
  ts.isParenthesizedExpression(node) || ts.isCallExpression(node);

function roleOf(name: ts.Identifier): Use["role"] {
  const { parent } = name;
  if (ts.isExportSpecifier(parent)) return "export";
  if (ts.isShorthandPropertyAssignment(parent)) return "pair";
  if (ts.isBindingElement(parent)) {
    if (parent.propertyName === name) return "property";
    const isNamed = !parent.propertyName && !parent.dotDotDotToken;
    const isPair = isNamed && ts.isObjectBindingPattern(parent.parent);
    return isPair && parent.name === name ? "pair" : "variable";
  }
  const isMember = ts.isPropertyAccessExpression(parent) || ts.isObjectLiteralElement(parent);
  return (isMember || ts.isClassElement(parent)) && parent.name === name ? "property" : "variable";
}

/** The variable that stands beside a property's name. */
function pairedWith({ parent }: ts.Identifier): ts.Identifier | undefined {
  const value = ts.isBindingElement(parent)
    ? parent.name
    : ts.isPropertyAssignment(parent) && parent.initializer;
  return value && ts.isIdentifier(value) ? value : undefined;
}

function isPaired(name: ts.Identifier): boolean {
  const { parent } = name;
  const property = ts.isBindingElement(parent)
    ? parent.propertyName
    : ts.isPropertyAssignment(parent) && parent.name;
  return (
    property !== undefined && property && ts.isIdentifier(property) && pairedWith(property) === name
  );
}

function symbolOf(checker: ts.TypeChecker, name: ts.Identifier): ts.Symbol | undefined {
  const { parent } = name;
  if (ts.isShorthandPropertyAssignment(parent))
    return checker.getShorthandAssignmentValueSymbol(parent);
  if (ts.isExportSpecifier(parent)) return checker.getExportSpecifierLocalTargetSymbol(parent);
  return checker.getSymbolAtLocation(name);
}

/** The identifiers of a script, in the order of its text. */
export function usesOf(code: string): Use[] {
  const { source, checker } = parse(code);
  const variables = new Map<ts.Symbol, Variable>();
  const uses: Use[] = [];

  const variableOf = (name: ts.Identifier): Variable | undefined => {
    const symbol = symbolOf(checker, name);
    const declaration = symbol?.declarations?.[0];
    if (!symbol || !declaration) return undefined;
    let variable = variables.get(symbol);
    if (!variable) {
      const scope = scopeOf(declaration);
      const place = placeOf(scope);
      variable = { name: symbol.name, scope, place, uses: [], rivals: new Set() };
      variables.set(symbol, variable);
    }
    variable.uses.push(name);
    return variable;
  };

  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    if (!ts.isIdentifier(node)) return;
    const { parent } = node;
    // `a as b`: the whole is one use.
    if (ts.isExportSpecifier(parent) && parent.propertyName === node) return;
    const role = roleOf(node);
    const use = {
      start: (role === "export" ? parent : node).getStart(source),
      end: node.end,
      text: node.text,
    };
    const paired = role === "property" ? pairedWith(node) : undefined;
    const variable = role === "property" ? paired && variableOf(paired) : variableOf(node);
    // The variable is part of the pair.
    if (role === "variable" && variable && isPaired(node)) return;
    if (paired && variable) uses.push({ ...use, end: paired.end, variable, role: "pair" });
    else uses.push({ ...use, variable, role });
  };
  visit(source);
  findRivals([...variables.values()]);
  return uses.sort((a, b) => a.start - b.start);
}

/** A use must see its own variable: none of that name may be declared on the way to its scope. */
function findRivals(variables: readonly Variable[]): void {
  for (const variable of variables) {
    for (const use of variable.uses) {
      for (let scope = scopeAt(use); ; scope = scopeAt(scope.parent)) {
        for (const other of variables) {
          if (other === variable || other.scope !== scope) continue;
          variable.rivals.add(other);
          other.rivals.add(variable);
        }
        if (scope === variable.scope) break;
      }
    }
  }
}
