/** @file The characters that can answer: a row of faces, and which of them was chosen last. */

const REMEMBERED = "parley.persona";

/** @typedef {{id: string, name: string, avatar: string, language: string, opening_line: string}} Persona */

/** @returns {Promise<Persona[]>} rejects when the gateway does not give the list */
async function fetchPersonas() {
  const answer = await fetch(new URL("v1/personas", document.baseURI));
  if (!answer.ok) throw new Error(`The list of personas came with status ${answer.status}.`);
  return (await answer.json()).data;
}

/** Local storage can be forbidden; then the choice lasts as long as the page. */
const memory = {
  read() {
    try {
      return localStorage.getItem(REMEMBERED);
    } catch {
      return null;
    }
  },
  write(id) {
    try {
      localStorage.setItem(REMEMBERED, id);
    } catch {
      // Nothing is lost but the memory of the choice.
    }
  },
};

export class Picker {
  /** @type {Persona | undefined} */
  chosen = undefined;

  /** @param {HTMLElement} box @param {(persona: Persona) => void} onPick a person chose, not the memory */
  constructor(box, onPick) {
    this.box = box;
    this.onPick = onPick;
  }

  /** Show the list and choose the remembered persona, else the first. Rejects when there is no list. */
  async load() {
    const personas = await fetchPersonas();
    this.chosen = personas.find(({ id }) => id === memory.read()) ?? personas[0];
    this.box.append(...personas.map((persona) => this.#card(persona)));
  }

  #card(persona) {
    const card = document.createElement("label");
    card.className = "persona";
    card.title = persona.name;
    const choice = document.createElement("input");
    choice.type = "radio";
    choice.name = "persona";
    choice.className = "unseen";
    choice.value = persona.id;
    choice.checked = persona === this.chosen;
    choice.addEventListener("change", () => this.#pick(persona));
    const face = document.createElement("span");
    face.className = "face";
    face.ariaHidden = "true";
    face.textContent = persona.avatar;
    const name = document.createElement("span");
    name.className = "name";
    name.lang = persona.language;
    name.textContent = persona.name;
    card.append(choice, face, name);
    return card;
  }

  #pick(persona) {
    this.chosen = persona;
    memory.write(persona.id);
    this.onPick(persona);
  }
}
