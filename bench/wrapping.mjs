// How an entry module of the benchmark stands between the runtime and a contender: it gives the contender bindings that
// do something besides.

/** A binding with some of its methods replaced. */
export function replace(binding, methods) {
  return new Proxy(binding, {
    get(target, property) {
      if (Object.hasOwn(methods, property)) return methods[property];
      const value = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** The bindings of a contender with some of them replaced. */
export function withBindings(env, bindings) {
  return new Proxy(env, {
    get: (target, name) => (Object.hasOwn(bindings, name) ? bindings[name] : Reflect.get(target, name, target)),
  });
}

/** A namespace each of whose calls is made by `around`, which is given the call. */
export function aroundCalls(namespace, around) {
  // Every property of a stub is a call, and none of them has an `apply` of its own.
  const wrapped = (stub) =>
    new Proxy(stub, {
      get: (target, method) => (...args) => around(() => Reflect.apply(Reflect.get(target, method, target), target, args)),
    });
  return { getByName: (name) => wrapped(namespace.getByName(name)) };
}
