// Says in words which rating is chosen. Everything works without it.
const picker = document.querySelector(".picker");
if (picker) {
  const chosen = document.querySelector(".chosen");
  const say = () => {
    const input = picker.querySelector("input:checked");
    chosen.textContent = input ? `${input.value / 2} of 5` : "";
  };
  picker.addEventListener("change", say);
  say();
}
