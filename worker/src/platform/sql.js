// The JavaScript half of sql.rs. A statement takes one call between JavaScript and Rust, with its parameters and
// rows as JSON. Each value by itself would take one or two.

export function execute(sql, statement, parameters) {
  return JSON.stringify([...sql.exec(statement, ...JSON.parse(parameters)).raw()]);
}
