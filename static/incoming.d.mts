export * from "./incoming.js";
