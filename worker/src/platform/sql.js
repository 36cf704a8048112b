// The JavaScript half of sql.rs. A statement takes one call between JavaScript and Rust, with its parameters and
// rows as JSON. Each value by itself would take one or two.

export function execute(sql, statement, parameters) {
  const rows = parameters === "[]" ? sql.exec(statement) : sql.exec(statement, ...JSON.parse(parameters));
  const read = [...rows.raw()];
  return read.length === 0 ? "[]" : JSON.stringify(read);
}
