"""What people tell about themselves, as topics that join words of one meaning in English, Chinese and Korean.

A model of embeddings that knows one language cannot tell that 家 is near 住, nor that a 강아지 is a 반려동물; a short
list of words can, and it lets a question in one language find what was told in another. Latin words are compared as
stems, those of other scripts as parts of the text. A topic is a hint beside the words themselves, never a decision.

Laws (tests/core/test_gateway_topics.py): each word of the list has its topic, in any case; a text without letters has
none; nothing but words of the list is said to belong to one.
"""

import re
from functools import lru_cache

# English | Chinese | Korean, words apart by blanks; an underscore is a blank inside a word
_TOPICS = {
    "age": "old age year|岁 多大 年龄 年纪 几岁|살이에 살이야 살이고 살입 몇_살 나이 연세 팔순 칠순 환갑 몇이",
    "alcohol": "alcohol beer wine drunk whisky|喝酒 酒 啤酒 红酒|술을 술은 맥주 와인 소주",
    "allergy": (
        "allergy allergic intolerant intolerance swell rash throat itchy|"
        "过敏 不耐受 肿 疹 起疹 红肿 痒|"
        "알레르기 알러지 두드러기 부어 부어요 가려"
    ),
    "answering": "answer reply speak short brief|回答 简短 说话|대답 짧게 말투",
    "army": "army military soldier|当兵 军队 服役|군대 입대 전역 군인",
    "art": "paint draw photograph photography dance knit|摄影 拍照 画画 跳舞|사진 그림을 춤을 뜨개",
    "bed_time": "bed bedtime asleep|睡觉 几点睡|자는 잠자리",
    "bird": "bird parrot|鸟 鹦鹉|새를 앵무새",
    "birthday": "birthday born due|生日 出生 预产期|생일 태어 출산 예정일",
    "blood": "blood|血型 型血|혈액형",
    "boat": "seasick carsick boat ship cruise ferry sail|晕船 晕车 坐船 邮轮 游轮|멀미 배를_타 유람선 크루즈",
    "body": (
        "tall height weight lose kilo pound kilogram slim|"
        "身高 体重 减肥 瘦 减 公斤 斤|"
        "키가 몸무게 다이어트 킬로 살을 빼고"
    ),
    "bought": "bought buy new|买了 刚买|샀 구입",
    "breakup": "divorced broke ex single|离婚 分手 单身|이혼 헤어 솔로 미혼",
    "business": (
        "shop store business bakery customer startup restaurant café cafe business own run|"
        "店 生意 面馆 餐馆 餐厅 开公司 创业 顾客|"
        "가게 사업 카페를 식당을 매장 창업 장사 빵집"
    ),
    "car": (
        "car drive vehicle van camper motorbike motorcycle scooter volkswagen park parking|"
        "汽车 开车 车牌 我的车 面包车 轿车 摩托 一辆 停车 车位|"
        "자동차 운전 차를 승합차 오토바이 내_차 제_차 주차"
    ),
    "cat": "cat kitten|猫|고양이 반려묘",
    "child": (
        "son daughter child children kid baby twins pregnant pregnancy expecting babies due school|"
        "儿子 女儿 孩子 宝宝 怀孕 预产期 娃 小朋友 生孩子|"
        "아들 딸 우리_애 아이가 아이는 자녀 임신 아기 출산 쌍둥이 아이"
    ),
    "climate": "cold hot|怕冷 怕热|추위 더위",
    "clock": "time hour minute|几点 点钟 点半|몇_시 시에 시_반",
    "clothes": "clothes wear shirt shoe dress jacket pack|衣服 穿 鞋 尺码|옷을 옷이 옷은 신발 사이즈",
    "colour": (
        "colour color white black red blue green yellow grey gray brown pink purple orange|"
        "颜色 白色 黑色 红色 蓝色 绿色 黄色 灰色 紫色 粉色 银色|"
        "색은 색이 색깔 무슨_색 하얀 검은 빨간 파란 초록 노란 회색 보라 분홍 흰색 색이"
    ),
    "commute": (
        "commute bus bicycle bike metro subway underground tram taxi ride train car|"
        "地铁 公交 骑车 自行车 开车 坐车 通勤 火车 打车 去上班|"
        "버스 지하철 자전거 출근 출퇴근 통근 택시 전철"
    ),
    "company": "company firm startup boss|公司 老板 上司|회사 사장 상사",
    "computer": "computer laptop code programming|电脑 编程|컴퓨터 노트북 코딩",
    "concert": "concert ticket festival|演唱会 音乐会 门票|콘서트 공연 티켓",
    "cooking": "cook bake recipe|做饭 做菜 烤|요리 굽",
    "course": "course university college major|课程 专业|강의 전공 수강",
    "crime": "crime mystery detective thriller|侦探 悬疑 推理|탐정 추리 스릴러",
    "crowd": "crowd crowded party festival concert|人多 拥挤 热闹 音乐节 演唱会 聚会|사람이_많 붐비 축제 콘서트 파티",
    "cycling": "bike bicycle cycle|骑车 自行车|자전거",
    "dairy": (
        "milk cheese yoghurt yogurt dairy lactose cream butter|"
        "牛奶 奶酪 乳糖 冰淇淋 酸奶 奶茶|"
        "우유 치즈 유당 아이스크림 요거트 라떼"
    ),
    "death": "died passed|去世 过世|돌아가 세상을",
    "device": "phone laptop computer tablet|手机 电脑 平板|휴대폰 핸드폰 노트북 컴퓨터 태블릿",
    "diet": (
        "diet vegan vegetarian halal kosher gluten calorie lose weight|"
        "吃素 素食 减肥 清真 减 瘦|"
        "채식 비건 다이어트 빼고"
    ),
    "dish": "pasta rice noodle soup steak pizza|面 饭 汤 比萨|파스타 밥 국 면 피자",
    "dislike": "hate dislike stand|讨厌 不喜欢 受不了|싫어 질색",
    "dog": (
        "dog puppy beagle poodle corgi husky labrador terrier|"
        "狗 金毛 泰迪 柯基 哈士奇 拉布拉多|"
        "강아지 반려견 푸들 말티즈 진돗개"
    ),
    "dream": "dream goal want become|梦想 想当 目标|꿈 되고_싶 목표",
    "drinking": (
        "drink coffee tea café cafe beer wine juice alcohol|喝 咖啡 茶 酒 饮料|마시 마셔 커피 녹차 음료 카페 술을 맥주"
    ),
    "ears": "ear hearing deaf|耳 听力|귀가 귀는 청력",
    "eating": (
        "eat food meal dinner lunch breakfast snack cook recipe restaurant dish vegan vegetarian menu allergy "
        "allergic dessert halal kosher pasta pizza bread gluten diabetes sick stomach curry|"
        "吃 菜 晚饭 午饭 早饭 做饭 餐厅 饭店 零食 过敏 火锅 辣 清真 糖尿病 忌口 面包 蛋糕 中午 午餐 晚餐 早餐 "
        "点菜 菜单|"
        "먹 음식 저녁_메뉴 점심_메뉴 메뉴 요리 식당 맛집 간식 채식 알레르기 매운 반찬 당뇨 글루텐 밀가루 빵 "
        "케이크 점심 아침밥 저녁밥 식사"
    ),
    "egg": "egg omelette omelet|鸡蛋 蛋|계란 달걀 오믈렛",
    "email": "email mail|邮箱 邮件|이메일 메일",
    "exam": "exam test licence license|考试 考研 驾照 我要考|시험 면허 자격증",
    "exercise": "gym exercise stretch|健身 锻炼 拉伸|헬스 운동 스트레칭",
    "eyes": "glasses eyesight eye lens|眼镜 近视 视力|안경 시력 렌즈",
    "family": (
        "family relative sister brother mother father son daughter wife husband|"
        "家人 亲戚 儿子 女儿 老婆 老公 父母|"
        "가족 동생 언니 누나 오빠 아들 딸 부모님 손자 손녀"
    ),
    "farm": "farm cow sheep chicken goat horse ride|农场 牛 羊 马 骑马|농장 소를 양을 말을 말이 말_이름 승마",
    "fear": (
        "afraid scared fear phobia nervous terrify terrified anxious panic|"
        "害怕 怕 恐 紧张 焦虑 恐慌|"
        "무서 무섭 겁이 공포 떨려 무서워 불안 긴장"
    ),
    "feeling": "sad lonely stressed anxious happy angry|难过 压力 焦虑 孤独 开心|슬퍼 외로 스트레스 불안 우울",
    "festival": "christmas easter thanksgiving|春节 过年 国庆 中秋 圣诞 假期 除夕|설날 추석 명절 연휴 크리스마스",
    "fish": "fish fishing|鱼 钓|물고기 낚시 생선",
    "floor": "floor lift elevator stairs|楼 电梯 楼梯|층 엘리베이터 계단",
    "food_kind": (
        "noodle rice soup curry sushi pizza spicy tofu|"
        "面条 米饭 汤 咖喱 豆腐 饺子 火锅 辣|"
        "국수 밥 국물 카레 두부 김치 라면 매운"
    ),
    "friend": "friend neighbour neighbor roommate flatmate|朋友 邻居 室友 同学|친구 이웃 룸메이트",
    "fruit": (
        "fruit apple banana orange mango peach pear grape strawberry melon kiwi|"
        "水果 苹果 香蕉 芒果 桃 葡萄 西瓜 草莓 橙 榴莲|"
        "과일 사과 바나나 복숭아 포도 딸기 수박 귤 망고"
    ),
    "furniture": "living room sofa kitchen|客厅 家里有 买了一|거실 들여놨 집에_있는",
    "game": "chess game|象棋 围棋 游戏|게임 바둑 장기 체스",
    "garden": (
        "garden plant flower grow tomato herb balcony vegetable|"
        "花 植物 园艺 阳台 种了 种着 种菜 西红柿|"
        "화분 식물 꽃 정원 베란다 길러 기르 키우는_식물 텃밭 토마토"
    ),
    "gift": "present gift|礼物 送|선물",
    "grade": "grade class|年级|학년 반",
    "grandchild": "grandson granddaughter grandchild|孙子 孙女 外孙|손자 손녀",
    "grandparent": "grandmother grandfather grandma grandpa granny|奶奶 爷爷 外婆 外公 姥姥 姥爷|할머니 할아버지",
    "hair": "hair haircut barber|头发 理发|머리카락 미용실 이발",
    "hand": "hand handed left right write|左撇子 右手 左手 哪只手 写字|왼손 오른손 어느_손 손으로 글씨",
    "health": (
        "hurt pain injury injured sick ill illness headache ache medicine surgery sore diabetes asthma "
        "pressure coeliac celiac|"
        "疼 痛 生病 不舒服 身体 受伤 药 感冒 高血压 糖尿病 哮喘|"
        "아파 아프 통증 다쳤 다쳐 몸이 건강 수술 혈압 당뇨 천식"
    ),
    "heights": "height bungee cliff skydiving|恐高 高处 蹦极 爬高|높은_곳 번지 고소공포",
    "hiking": "hike mountain climb trail|爬山 登山 去爬 徒步|등산 한라산 올라가 산에",
    "home": (
        "live home house flat apartment address move hometown neighbourhood neighborhood town|"
        "住在 住哪 住的 住着 居住 地址 搬到 搬家 搬去 新家 老家|"
        "사는 살고 살아 삽니다 사니 산다 사세요 살지 이사 주소 동네 고향"
    ),
    "hometown": "hometown born grew|老家 家乡 出生 长大|고향 태어 자랐",
    "house": "rent buy bought renovate mortgage apartment|买房 租房 装修 房子|전세 월세 집을 아파트",
    "injury": "broke broken surgery operation hospital|骨折 手术 住院|골절 수술 입원",
    "key": "key|钥匙|열쇠",
    "language": (
        "language english spanish french german italian chinese japanese korean hindi arabic|"
        "语言 英语 日语 韩语 法语 德语 方言|"
        "언어 외국어 영어 일본어 중국어 프랑스어 사투리"
    ),
    "learning": "learn lesson practise practice|在学 学会 练|배우 배워 연습",
    "liking": (
        "like love favourite favorite prefer enjoy hate support fan|"
        "喜欢 最爱 爱好 讨厌 受不了|"
        "좋아하 좋아해 싫어하 싫어해 취미 제일 즐겨"
    ),
    "lost": "lost missing|丢了 丢|잃어",
    "major": "major degree graduate|专业 毕业|전공 졸업",
    "meat": "meat beef pork chicken steak lamb vegan vegetarian|肉 牛排 鸡 吃素 烤鸭|고기 삼겹살 치킨 채식 스테이크",
    "medicine": "medicine pill tablet medication|吃药 药|약을 복용 영양제",
    "meeting": (
        "appointment interview meeting date doctor conference|"
        "面试 约会 会议 预约 看医生 见面 开会 见客户|"
        "면접 약속 회의 예약 만나기로 병원 미팅 학회"
    ),
    "money": "salary budget rent money loan|工资 预算 房租 存钱 贷款|월급 예산 월세 저축 대출",
    "mountain": "mountain hill|山|산에 등산",
    "music": (
        "music instrument guitar piano violin drum sing band song singer jazz rock concert listen flute drums "
        "cello trumpet orchestra musician|"
        "音乐 乐器 钢琴 吉他 小提琴 唱歌 歌手 听歌 的歌 演唱会 音乐会 二胡 古筝 琵琶 笛子 口琴 架子鼓 小号 "
        "大提琴 乐团 演奏 长笛 吹|"
        "음악 악기 기타를 피아노 바이올린 연주 노래 가수 들어요 듣는 콘서트 들려 플루트 드럼 첼로 켰 켜는 "
        "오케스트라 불어"
    ),
    "music_kind": "rock pop classical jazz hip|古典 摇滚 流行|클래식 록 재즈 발라드",
    "name": "name called who|名字 姓名 叫 姓什么|이름 성함",
    "neighbour": "neighbour neighbor upstairs|邻居 楼上 隔壁|이웃 옆집 윗집",
    "number": "code password pin passcode number|密码 号码 电话 手机 车牌|비밀번호 번호 암호 전화",
    "nut": "nut peanut almond walnut|花生 坚果 核桃|땅콩 견과 호두",
    "origin": "nationality country hometown|来自 老家 国籍|출신 고향 국적",
    "own_name": (
        "|"
        "my_name who_i_am who_am_i call_me i'm_called i_am_called 我叫 叫我 称呼我 我的名字 我是谁 我姓|"
        "내_이름 제_이름 내가_누구 제가_누구 나_누구 저_누구 라고_합니다 라고_해요 라고_불러 불러요 부르"
    ),
    "parent": "mother father mum mom dad parents parent|妈 爸 母亲 父亲 父母|어머니 아버지 엄마 아빠 부모님",
    "party": "party celebrate|聚会 派对 庆祝|파티 모임",
    "pet": (
        "pet dog puppy cat kitten hamster rabbit parrot bird turtle goldfish breed animal beagle poodle corgi "
        "husky labrador terrier horse pony|"
        "宠物 狗 猫 兔 仓鼠 鹦鹉 乌龟 品种 养了 金毛 泰迪 柯基 哈士奇 拉布拉多 马 匹|"
        "강아지 고양이 토끼 햄스터 앵무새 거북이 반려동물 반려견 반려묘 애완동물 키워 키우 키웁 사료 푸들 "
        "말티즈 진돗개 말을_키"
    ),
    "place": (
        "city country town lives toronto london paris tokyo canada|城市 国家 哪里 住在|도시 나라 계세요 계시 살아"
    ),
    "plan": "plan going appointment schedule tomorrow|打算 计划 安排 准备|예정 계획 일정 약속 하려고 가기로",
    "reading": (
        "book read novel crime mystery poem story comic|书 小说 侦探 漫画 诗|책을 책이 책은 책_ 소설 독서 읽 만화 시집"
    ),
    "relative": (
        "uncle aunt cousin nephew niece|"
        "舅舅 叔叔 阿姨 姑姑 姨妈 表哥 表姐 表弟 表妹 堂 侄|"
        "삼촌 이모 고모 사촌 조카 외삼촌"
    ),
    "religion": (
        "church mosque temple religion pray christian muslim buddhist|"
        "信教 教会 寺 佛教 基督|"
        "교회 성당 절에 불교 기독교 종교"
    ),
    "repair": "broken repair fix|坏了 修|고장 수리",
    "retired": "retire used|退休 以前 曾经 过去|은퇴 예전 옛날",
    "running": "run jog marathon|跑步 马拉松|달리기 마라톤 조깅",
    "savings": "save savings bank invest stock|存钱 股票 投资 银行|저축 주식 투자 은행",
    "school": (
        "school university college pupil study|"
        "学校 小学 初中 高中 大学 上学 考上 读书 念书 读大学|"
        "학교 대학 들어갔 입학"
    ),
    "sea": "sea beach ocean|海边 沙滩|바다 해변",
    "seafood": (
        "seafood fish shrimp prawn crab sushi salmon shellfish clam oyster lobster mussel squid|"
        "海鲜 虾 鱼 蟹 寿司 贝 蛤 牡蛎 龙虾 鱿鱼|"
        "해산물 새우 생선 초밥 회를 조개 굴을 랍스터 오징어 봉골레 꽃게 문어"
    ),
    "sibling": "sister brother sibling twin|姐 妹 哥 弟|동생 언니 누나 오빠 형이 형은 우리_형",
    "size": "size|尺码 码|사이즈",
    "sleep": (
        "sleep insomnia nap tired bed asleep awake wake dream|"
        "睡 失眠 熬夜 早起 起床 睡眠 做梦|"
        "잠이 잠을 잠들 불면 푹_자 푹_잘 숙면 일어나 깨어 자려고 수면"
    ),
    "smoking": "smoke cigarette|抽烟 戒烟 吸烟|담배 금연",
    "snack": "snack biscuit crisps|零食 饼干|간식 과자",
    "sport": (
        "sport exercise workout run race marathon football basketball tennis badminton golf yoga ski swim gym "
        "train team|"
        "运动 跑步 健身 马拉松 足球 篮球 网球 羽毛球 乒乓 瑜伽 滑雪 爬山 游泳 比赛 锻炼|"
        "운동 달리기 마라톤 축구 야구 농구 테니스 배드민턴 탁구 골프 요가 스키 수영 헬스 등산 조깅"
    ),
    "spouse": (
        "wife husband partner girlfriend boyfriend spouse anniversary|"
        "老婆 太太 妻子 老公 丈夫 女朋友 男朋友 爱人 纪念日|"
        "아내 와이프 남편 여자친구 남자친구 배우자 기념일"
    ),
    "study_abroad": "abroad exchange|留学|유학",
    "studying": "learn study lesson course class exam|在学 学习 上课 考试 学英语|배우 배워 공부 수업 시험 학원",
    "sweets": (
        "sweet sugar chocolate cake dessert candy diabetes piece|"
        "甜 糖 蛋糕 巧克力 糖尿病 甜的|"
        "단_음식 단것 설탕 케이크 초콜릿 디저트 당뇨 단_걸 단_거"
    ),
    "swimming": "swim pool|游泳|수영",
    "team": "team club support fan|球队 球迷 支持|팀 응원 팬",
    "teeth": "tooth teeth dentist|牙|치과 이빨 치아",
    "travel": (
        "travel trip flight fly holiday vacation airport train plane journey visit pack abroad week where go|"
        "旅游 旅行 出差 飞机 航班 高铁 火车 度假 去玩 哪里玩 去哪 行李 去哪里 去哪儿 要去|"
        "여행 출장 비행기 기차 휴가 공항 놀러 어디로 어디에_가 가야_해"
    ),
    "visa": "passport visa|护照 签证|여권 비자",
    "volunteer": "volunteer charity|志愿者 义工 公益|봉사",
    "wake": "wake early alarm|起床 早起 闹钟|일어나 기상 알람",
    "walk": "walk hike stroll dog|散步 遛 狗|산책 강아지",
    "watching": "film movie series show|电影 电视剧 韩剧|영화 드라마",
    "water": "water|喝水|물을",
    "wedding": "wedding marry married marriage engaged|结婚 婚礼|결혼 약혼",
    "weekend": "weekend saturday sunday plan|周末 周六 周日 星期六 星期天 安排 计划|주말 토요일 일요일 일정 계획",
    "weekly": "every monday tuesday wednesday thursday friday saturday sunday|每周 每天 每晚 每个|마다 매주 매일",
    "work": (
        "work job profession occupation career office company boss colleague shift employer nurse teacher "
        "engineer doctor designer lawyer driver accountant programmer teach subject repair fix plumber "
        "electrician mechanic builder living retire retired|"
        "工作 上班 职业 公司 同事 老板 单位 老师 医生 工程师 护士 律师 司机 会计 程序员 教 科目 哪门课 一门课 "
        "当老师 修 谋生 修理 工人 靠什么|"
        "직업 일하 일해 일을 무슨_일 회사 직장 출근 선생님 교사 가르치 가르쳐 의사 간호사 개발자 디자이너 "
        "엔지니어 공무원 변호사 과목 가르 수리 먹고 기사 기술자"
    ),
}


def stem(word: str) -> str:
    """What an English word has in common with its other forms, roughly; a word of another script is its own."""
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and _VOWELS.search(rest):
            return rest[:-1] if rest[-1] == rest[-2] != "l" else rest + "e" if _SHORT.fullmatch(rest) else _short(rest)
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return _short(word)


def _short(word: str) -> str:
    """Without a silent e at the end of a longer word."""
    return word[:-1] if word.endswith("e") and len(_VOWELS.findall(word[:-1])) > 1 else word


_VOWELS = re.compile(r"[aeiouy]+")
_SHORT = re.compile(r"[^aeiouy]*[aeiouy][^aeiouywx]")  # driv-ing, mov-ed: an e went


def _read(words: str) -> tuple[frozenset[str], re.Pattern[str]]:
    latin, *others = words.split("|")
    parts = [part.replace("_", " ") for other in others for part in other.split(" ")]
    return frozenset(map(stem, latin.split())), re.compile("|".join(map(re.escape, parts)))


_READ = {topic: _read(words) for topic, words in _TOPICS.items()}


@lru_cache(maxsize=1024)
def topics_of(text: str) -> frozenset[str]:
    """The topics of a text that is folded already (`folded` of words)."""
    stems = frozenset(map(stem, _LATIN.findall(text)))
    return frozenset(topic for topic, (latin, others) in _READ.items() if stems & latin or others.search(text))


@lru_cache(maxsize=4096)
def is_topical(word: str) -> bool:
    """Whether a word of the list stands in this one, so that its topic speaks for it."""
    return any(stem(word) in latin or others.search(word) for latin, others in _READ.values())


_LATIN = re.compile(r"[a-zà-öø-ÿ]+")
