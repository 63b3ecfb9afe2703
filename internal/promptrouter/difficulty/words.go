package difficulty

// Words stand between spaces, so that they are found whole; those that end without
// one are beginnings. They are looked for in lower case, with one space in the place
// of everything that is no letter, digit, hyphen or apostrophe. Marks are looked for
// in the text as it is.

// reasonWords ask for more than a fact.
func reasonWords() []string {
	return []string{
		" why ", " step by step ", " step-by-step ", " reason ", " reasoning ", " analy", " evaluate ", " assess ", " critique ",
		" trade-off", " tradeoff", " pros and cons ", " advantages and disadvantages ", " compare ", " contrast ", " versus ", " implications ",
		" design ", " architect", " strategy ", " strategies ", " roadmap ", " plan for ", " a plan ", " propose ",
		" optimi", " debug", " root cause ", " diagnose ", " argue ", " argument ", " refute ", " hypothes",
		" infer ", " deduce ", " puzzle ", " riddle ", " what would happen ", " how would you ", " walk me through ", " in depth ", " in-depth ",
		" detailed ", " comprehensive ", " essay ", " research ", " synthesi", " mechanism", " ethical ", " causal ", " prove ", " contradict",
		" dilemma ", " justify ", " recommend ", " liability ", " clause", " differential diagnosis ", " discuss ", " estimate ", " explain ", " interpret ", " draft ", " case for ", " case against ",
		" risk", " find the cause ", " conclude ", " conclusion", " convincing ", " disagree", " lessons ", " incident ", " how should we ", " what should we ", " how do we ",
		" difference between ", " factors ", " effects of ", " cause of ", " causes ", " consequences ", " premise", " metre and rhyme ", " show ", " weigh ", " plan ",
		// German, French, Spanish, Italian and Portuguese.
		" warum ", " erkläre ", " begründe", " vergleiche ", " beweise", " bewerte ", " analysiere", " entwirf ", " schritt für schritt ",
		" pourquoi ", " explique", " démontre", " comparer ", " étape par étape ", " por qué ", " demuestra ", " paso a paso ",
		" perché ", " dimostra ", " confronta ", " passo dopo passo ", " por que ", " demonstre ", " passo a passo ",
	}
}

// mathWords are those of tasks that are worked out.
func mathWords() []string {
	return []string{
		" proof ", " prove ", " theorem ", " lemma ", " derive ", " derivative ", " integral ", " integrate ", " equation", " polynomial ",
		" matrix ", " eigenvalue", " probabilit", " expected value ", " variance ", " bayes", " combinat", " permutation", " modulo ",
		" converge", " asymptotic ", " complexity ", " gradient ", " optimal ", " minimize ", " maximize ", " solve ", " calculate how ",
		" how many ways ", " compound interest ", " inequality ", " prime ", " primes ", " integer", " boolean ", " crossings ", " counterexample", " switch", " angle ", " geometry ", " hypotenuse ", " confidence interval ",
		" show that ", " induction ", " limit ", " how long will ", " at what time ", " kilometres per hour ", " km h ", " mph ",
	}
}

func mathMarks() []string {
	return []string{"\\frac", "\\int", "\\sum", "\\lim", "$$", "∑", "∫", "√", "≤", "≥", "∀", "∃", "x^2", "x²", "O(n", "f(x)", "P(A", "证明", "方程", "概率", "証明", "доказа", "증명"}
}

// codeWords are those of programming tasks.
func codeWords() []string {
	return []string{
		" implement ", " python ", " javascript ", " java ", " golang ", " bash ", " script ", " generator ", " sql ", " query ", " index strategy ", " async ", " process ", " cach", " database ",
		" refactor", " algorithm", " data structure", " concurrency ", " concurrent ", " deadlock", " race condition ",
		" thread-safe ", " goroutine", " mutex ", " unit test", " regex ", " regular expression ", " recursive ", " recursion ",
		" sql query ", " stack trace ", " segfault ", " compile", " type error ", " exception", " kubernetes ", " terraform ",
		" distributed ", " microservice", " schema ", " query plan ", " memory leak ", " big o ", " api for ", " write a program ",
		" write a function ", " write a class ", " write code ", " rust ", " haskell ", " lru cache ", " parser ", " dynamic programming ",
	}
}

func codeMarks() []string {
	return []string{"```", "def ", "func ", "class ", "#include", "import ", "SELECT ", "=> ", "();", "){", ") {", "&&", "!= ", "==", "Traceback", "panic:", "std::", "</"}
}

// reasonMarks are those of scripts that do not part words, and of some others.
func reasonMarks() []string {
	return []string{"为什么", "解释", "推理", "比较", "分析", "设计", "評価", "説明", "なぜ", "比較", "почему", "Почему", "объясни", "Объясни", "сравни", "왜", "설명", "비교", "لماذا", "اشرح", "क्यों", "समझा"}
}

// demandWords bind the reply.
func demandWords() []string {
	return []string{
		" must ", " at least ", " at most ", " exactly ", " without using ", " do not use ", " given that ", " such that ", " assume ",
		" constraint", " consider ", " including ", " as well as ", " taking into account ", " for each ", " then ", " cite ", " justify ",
		" with examples ", " under the condition", " subject to ", " simultaneous", " edge case", " and explain ", " explain how ", " explain the ",
	}
}

// simpleWords are those of tasks that small models do well.
func simpleWords() []string {
	return []string{
		" hello ", " hi ", " thanks ", " thank you ", " good morning ", " what is the capital ", " capital of ", " who wrote ", " who is ", " who was ",
		" when was ", " when did ", " where is ", " what year ", " what colou", " what color", " define ", " definition of ", " spell ", " translate ",
		" synonym", " antonym", " rhyme", " joke ", " haiku ", " rephrase ", " rewrite ", " fix the spelling ", " fix the grammar ", " correct the ",
		" summarize ", " summarise ", " in one sentence ", " in one word ", " one word ", " yes or no ", " true or false ", " positive or negative ",
		" sentiment ", " classify ", " extract the ", " list three ", " list five ", " name three ", " name a ", " give me a ", " give me three ",
		" convert ", " how do you say ", " what does ", " stand for ", " opposite of ", " plural of ", " past tense ", " greeting ", " tagline ",
		" subject line ", " title for ", " short ", " ingredients ", " simple ", " how many days ", " what time ", " tell me a ", " reply to ", " what's the ",
		" capitalize ", " lowercase ", " uppercase ", " alphabetical", " remove the ", " what language ", " invite", " remind ", " lists three ",
	}
}
