export * from "./incoming-upload.js";
